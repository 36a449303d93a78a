#include "reading_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "precis/units.h"

namespace precis {

namespace {
constexpr std::chrono::milliseconds kInterval(150);
}

std::string shown_progress(std::int64_t computed, std::int64_t tokens, double rate, double since) {
  const std::int64_t percent = tokens > 0 ? computed * 100 / tokens : 100;
  std::string text = fmt::format("{} of {} tokens ({} %)", shown_count(computed), shown_count(tokens), percent);
  if (rate <= 0) return text;
  const double left = std::max(static_cast<double>(tokens - computed) / rate - since, 0.0);
  text += fmt::format(", {} tokens/s", shown_count(static_cast<std::int64_t>(rate)));
  if (left >= 90) return text + fmt::format(", {:.0f} min left", left / 60);
  return text + fmt::format(", {:.{}f} s left", left, left < 10 ? 1 : 0);
}

std::int64_t held_bytes(const MemoryReport& memory) {
  return memory.pages_used * memory.page_bytes + memory.far_pages_used * memory.far_page_bytes;
}

ReadingProgress::ReadingProgress(Notes& notes, const Engine& engine, std::int64_t tokens)
    : notes_(notes), engine_(engine), tokens_(tokens) {
  if (notes.terminal()) thread_ = std::thread([this] { show(); });
}

ReadingProgress::~ReadingProgress() {
  end();
}

void ReadingProgress::computed(std::int64_t tokens) {
  const std::lock_guard lock(mutex_);
  last_time_ = Clock::now();
  if (first_ < 0 || tokens < first_) {  // the first report, or a preempted request begins anew
    first_ = tokens;
    first_time_ = last_time_;
  }
  last_ = tokens;
}

void ReadingProgress::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  notes_.clear_passing();
}

void ReadingProgress::show() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kInterval, [this] { return ended_; })) notes_.passing(line());
}

std::string ReadingProgress::line() {
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  const double timed = first_ < 0 ? 0 : seconds(last_time_ - first_time_);
  const double rate = timed > 0 ? static_cast<double>(last_ - first_) / timed : 0;
  const double since = first_ < 0 ? 0 : seconds(Clock::now() - last_time_);
  return fmt::format("reading {}, KV {}", shown_progress(last_, tokens_, rate, since),
                     shown_bytes(static_cast<double>(held_bytes(engine_.memory()))));
}

}  // namespace precis
