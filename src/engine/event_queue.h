// Carries one request's events from the engine's thread to whoever reads its Stream.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "precis/token_event.h"

namespace precis {

class EventQueue {
 public:
  // `wake`: called once when the request is cancelled, from the reader's thread.
  explicit EventQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  // The engine's side.
  void push(TokenEvent event);
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // The reader's side.
  TokenEvent next();
  void cancel();

 private:
  std::function<void()> wake_;
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<TokenEvent> events_;
};

}  // namespace precis
