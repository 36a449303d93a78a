#include "chat_signals.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "outcome.h"

namespace precis {

namespace {

constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};

// Carries signals' numbers from their handler to the watcher. A handler can reach nothing but globals.
std::array<int, 2> chat_pipe = {-1, -1};

void on_chat_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const ssize_t written = ::write(chat_pipe[1], &byte, 1);
  errno = saved;
}

void set_handlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) ::sigaction(number, &action, nullptr);
}

}  // namespace

ChatSignals::ChatSignals() {
  if (::pipe2(chat_pipe.data(), O_CLOEXEC) != 0 || ::pipe2(prompt_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw RunFailure(fmt::format("pipe: {}", std::strerror(errno)));
  }
  watcher_ = std::thread([this] { watch(); });
  set_handlers(on_chat_signal);
}

ChatSignals::~ChatSignals() {
  set_handlers(SIG_DFL);
  ::close(chat_pipe[1]);  // the watcher reads the end of the pipe
  watcher_.join();
  for (const int file : {chat_pipe[0], prompt_[0], prompt_[1]}) ::close(file);
}

void ChatSignals::watch() {
  unsigned char number = 0;
  while (true) {
    const ssize_t got = ::read(chat_pipe[0], &number, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    last_ = number;
    if (number != SIGINT) leaving_ = number;
    const std::lock_guard lock(mutex_);
    if (stop_) {
      if (!stopped_.exchange(true)) stop_();
    } else {
      [[maybe_unused]] const ssize_t written = ::write(prompt_[1], &number, 1);
    }
  }
}

void ChatSignals::take_prompt() {
  std::array<unsigned char, 16> bytes{};
  while (::read(prompt_[0], bytes.data(), bytes.size()) > 0) {
  }
}

ChatSignals::Busy::Busy(ChatSignals& signals, std::function<void()> stop) : signals_(signals) {
  const std::lock_guard lock(signals_.mutex_);
  signals_.stopped_ = false;
  signals_.stop_ = std::move(stop);
}

ChatSignals::Busy::~Busy() {
  const std::lock_guard lock(signals_.mutex_);
  signals_.stop_ = nullptr;
}

}  // namespace precis
