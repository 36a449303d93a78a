// How far a prompt is read, on a wall clock: one passing line on a terminal, several times a second.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "precis/engine.h"
#include "terminal.h"

namespace precis {

// "8,192 of 16,012 tokens (51 %), 5,784 tokens/s, 1.4 s left"; rate and time where they are known. `since`: seconds
// since the last of them was computed.
std::string shown_progress(std::int64_t computed, std::int64_t tokens, double rate, double since);

// Where standard error is no terminal it does nothing, and has no thread.
class ReadingProgress {
 public:
  // Of a prompt of `tokens` tokens. Engine and notes outlive it.
  ReadingProgress(Notes& notes, const Engine& engine, std::int64_t tokens);
  ~ReadingProgress();
  ReadingProgress(const ReadingProgress&) = delete;
  ReadingProgress& operator=(const ReadingProgress&) = delete;

  // Ends it with a scope.
  class Ending {
   public:
    explicit Ending(ReadingProgress& progress) : progress_(progress) {}
    ~Ending() { progress_.end(); }
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;

   private:
    ReadingProgress& progress_;
  };

  // So many are computed. Any thread.
  void computed(std::int64_t tokens);
  // The line goes. Nobody else may write to standard error before.
  void end();

 private:
  using Clock = std::chrono::steady_clock;

  void show();
  std::string line();

  Notes& notes_;
  const Engine& engine_;
  const std::int64_t tokens_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::int64_t first_ = -1;  // of the first report: what came from the cache counts for no speed
  std::int64_t last_ = 0;
  Clock::time_point first_time_;
  Clock::time_point last_time_;
  std::thread thread_;
};

// Bytes of K and V that running requests and the prefix cache hold.
std::int64_t held_bytes(const MemoryReport& memory);

}  // namespace precis
