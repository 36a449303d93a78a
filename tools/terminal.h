// Standard output and error as streams of bytes, and what a terminal adds to them: colour, and Ctrl-C.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace precis {

// Standard output. Every write reaches the kernel before it returns, so that nothing printed is ever lost.
class Output {
 public:
  // Ignores SIGPIPE: a reader that went away shows as closed().
  Output();
  // Nothing is written once closed(). Throws RunFailure when the write fails for another reason (disk full).
  void write(std::string_view bytes);
  // The reader has gone: nobody is interested in more.
  bool closed() const { return closed_; }
  // The last byte written was not the end of a line, or there was none.
  bool inside_line() const { return last_ != '\n'; }
  // Forgets the last byte: a new text begins.
  void begin_text() { last_ = 0; }

 private:
  bool closed_ = false;
  char last_ = 0;
};

// Standard error: lines for people.
class Notes {
 public:
  Notes();
  void line(std::string_view text) const;
  // A line in bold where standard error is a terminal.
  void heading(std::string_view text) const;
  // A line that is dim where standard error is a terminal.
  void dim(std::string_view text) const;
  // A line that the next clear_passing() wipes away, cut to the terminal's width; only on a terminal.
  void passing(std::string_view text);
  void clear_passing();

  bool terminal() const { return terminal_; }

 private:
  bool terminal_;
  bool colour_;
  bool passing_ = false;
};

// Whether colour is wanted on a terminal: neither NO_COLOR nor a terminal that has none.
bool colour_is_wanted();
bool input_is_terminal();
bool output_is_terminal();

// While it lives, the first SIGINT or SIGTERM calls `act`, once, on a thread of its own; the second ends the process.
// One at a time.
class Interrupt {
 public:
  explicit Interrupt(std::function<void()> act);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // The signal that came, or 0.
  int signal() const { return signal_.load(); }

 private:
  void watch();

  std::function<void()> act_;
  std::atomic<int> signal_ = 0;
  std::thread watcher_;
};

}  // namespace precis
