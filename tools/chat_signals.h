// Ctrl-C and SIGTERM while a chat runs: they stop what is under way, or reach the prompt, and never end the process.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace precis {

// One at a time. Signals arrive on a thread of its own.
class ChatSignals {
 public:
  ChatSignals();
  ~ChatSignals();
  ChatSignals(const ChatSignals&) = delete;
  ChatSignals& operator=(const ChatSignals&) = delete;

  // While it lives, a signal calls `stop`, on the signals' thread.
  class Busy {
   public:
    Busy(ChatSignals& signals, std::function<void()> stop);
    ~Busy();
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    ChatSignals& signals_;
  };

  // The last signal; 0 if there was none.
  int last() const { return last_; }
  // SIGTERM or SIGHUP has come: the chat is to end.
  bool leaving() const { return leaving_ != 0; }
  int leaving_signal() const { return leaving_; }
  // Readable from when a signal came while nothing was under way until take().
  int prompt_file() const { return prompt_[0]; }
  void take_prompt();

 private:
  void watch();

  std::mutex mutex_;
  std::function<void()> stop_;  // of what is under way
  std::atomic<bool> stopped_ = false;
  std::atomic<int> last_ = 0;
  std::atomic<int> leaving_ = 0;
  int prompt_[2] = {-1, -1};
  std::thread watcher_;
};

}  // namespace precis
