#include "terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "outcome.h"

namespace precis {

namespace {

// Writes all of `bytes`; gives errno, 0 when they are written.
int write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

// The pipe that carries a signal's number from its handler to the watcher. A handler can reach nothing but globals.
std::array<int, 2> signal_pipe = {-1, -1};

void on_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const ssize_t written = ::write(signal_pipe[1], &byte, 1);
  errno = saved;
}

}  // namespace

Output::Output() {
  std::signal(SIGPIPE, SIG_IGN);
}

void Output::write(std::string_view bytes) {
  if (closed_ || bytes.empty()) return;
  const int error = write_all(STDOUT_FILENO, bytes);
  if (error == EPIPE) {
    closed_ = true;
  } else if (error != 0) {
    throw RunFailure(fmt::format("standard output: {}", std::strerror(error)));
  }
  last_ = bytes.back();
}

bool colour_is_wanted() {
  const char* kind = std::getenv("TERM");
  return std::getenv("NO_COLOR") == nullptr && kind != nullptr && std::strcmp(kind, "dumb") != 0;
}

Notes::Notes() : terminal_(::isatty(STDERR_FILENO) == 1), colour_(terminal_ && colour_is_wanted()) {}

// What standard error refuses has nowhere else to go, so failures are not looked at.
void Notes::line(std::string_view text) const {
  write_all(STDERR_FILENO, fmt::format("{}\n", text));
}

void Notes::heading(std::string_view text) const {
  write_all(STDERR_FILENO, colour_ ? fmt::format("\033[1m{}\033[0m\n", text) : fmt::format("{}\n", text));
}

void Notes::dim(std::string_view text) const {
  write_all(STDERR_FILENO, colour_ ? fmt::format("\033[2m{}\033[0m\n", text) : fmt::format("{}\n", text));
}

void Notes::passing(std::string_view text) {
  if (!terminal_) return;
  struct winsize size {};
  // A line that wraps could not be wiped away.
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) text = text.substr(0, size.ws_col - 1U);
  write_all(STDERR_FILENO, fmt::format("\r\033[K{}", text));
  passing_ = true;
}

void Notes::clear_passing() {
  if (passing_) write_all(STDERR_FILENO, "\r\033[K");
  passing_ = false;
}

bool input_is_terminal() {
  return ::isatty(STDIN_FILENO) == 1;
}
bool output_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

Interrupt::Interrupt(std::function<void()> act) : act_(std::move(act)) {
  if (::pipe2(signal_pipe.data(), O_CLOEXEC) != 0) throw RunFailure(fmt::format("pipe: {}", std::strerror(errno)));
  watcher_ = std::thread([this] { watch(); });
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

Interrupt::~Interrupt() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::close(signal_pipe[1]);  // the watcher reads the end of the pipe
  watcher_.join();
  ::close(signal_pipe[0]);
}

void Interrupt::watch() {
  unsigned char byte = 0;
  while (true) {
    const ssize_t got = ::read(signal_pipe[0], &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    int none = 0;
    if (signal_.compare_exchange_strong(none, byte)) act_();
  }
}

}  // namespace precis
