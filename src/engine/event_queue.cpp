#include "engine/event_queue.h"

#include "precis/engine.h"

namespace precis {

void EventQueue::push(TokenEvent event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  filled_.notify_one();
}

TokenEvent EventQueue::next() {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [&] { return !events_.empty(); });
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void EventQueue::cancel() {
  if (!cancelled_.exchange(true)) wake_();
}

Stream::Stream(std::shared_ptr<EventQueue> queue) : queue_(std::move(queue)) {}
Stream::~Stream() {
  if (queue_) queue_->cancel();
}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(queue_, other.queue_);  // what was here is cancelled with `other`
  return *this;
}
TokenEvent Stream::next() {
  return queue_->next();
}
void Stream::cancel() {
  queue_->cancel();
}

}  // namespace precis
