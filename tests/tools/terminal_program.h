// The precis program at a terminal of its own: what a user types and sees.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "tools/program.h"

namespace precis::test {

class TerminalProgram {
 public:
  // `state`: the folder that the program keeps its history in.
  TerminalProgram(std::vector<std::string> words, const std::filesystem::path& state) {
    words.insert(words.begin(), PRECIS_BINARY);
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const std::string home = "XDG_STATE_HOME=" + state.string();
    std::vector<char*> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text = *variable;
      if (!text.starts_with("XDG_STATE_HOME=") && !text.starts_with("TERM=") && !text.starts_with("NO_COLOR=")) {
        variables.push_back(*variable);
      }
    }
    std::string kind = "TERM=xterm";
    std::string home_text = home;
    variables.push_back(kind.data());
    variables.push_back(home_text.data());
    variables.push_back(nullptr);
    winsize size{.ws_row = 40, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ < 0) std::abort();
    if (pid_ == 0) {
      ::execve(PRECIS_BINARY, pointers.data(), variables.data());
      ::_exit(127);
    }
    ::fcntl(terminal_, F_SETFD, FD_CLOEXEC);
  }
  ~TerminalProgram() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(terminal_);
  }
  TerminalProgram(const TerminalProgram&) = delete;
  TerminalProgram& operator=(const TerminalProgram&) = delete;

  // Waits until `part` was shown behind what earlier calls have found. False: it was not within five minutes.
  bool see(const std::string& part) {
    while (true) {
      const std::size_t found = shown_.find(part, seen_);
      if (found != std::string::npos) {
        seen_ = found + part.size();
        return true;
      }
      if (!read_some()) {
        ADD_FAILURE() << "'" << part << "' does not come behind\n"
                      << shown_.substr(0, seen_) << "\n--- only\n"
                      << shown_.substr(seen_);
        return false;
      }
    }
  }
  // Waits for so many bytes more.
  bool see_more(std::size_t bytes) {
    while (shown_.size() < seen_ + bytes) {
      if (!read_some()) return false;
    }
    seen_ = shown_.size();
    return true;
  }
  void type(const std::string& keys) const {
    EXPECT_EQ(::write(terminal_, keys.data(), keys.size()), ssize_t(keys.size()));
  }
  void send(int signal) const { ::kill(pid_, signal); }
  const std::string& shown() const { return shown_; }
  // Waits for the end; the exit code, 256 + signal when a signal ended it.
  int finish() {
    while (read_some()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
  }

 private:
  bool read_some() {
    pollfd file{terminal_, POLLIN, 0};
    if (::poll(&file, 1, 300'000) <= 0) return false;
    std::array<char, 65536> block;
    const ssize_t got = ::read(terminal_, block.data(), block.size());  // EIO once the program has gone
    if (got <= 0) return false;
    shown_.append(block.data(), static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = 0;
  int terminal_ = -1;
  std::string shown_;
  std::size_t seen_ = 0;
};

}  // namespace precis::test
