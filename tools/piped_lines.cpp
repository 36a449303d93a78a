#include "piped_lines.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "chat_signals.h"
#include "outcome.h"

namespace precis {

namespace {
constexpr std::size_t kMostBytes = std::size_t{1} << 30;
}

LineReading PipedLines::read() {
  std::size_t seen = given_;
  while (true) {
    const std::size_t end = held_.find('\n', seen);
    if (end != std::string::npos || (ended_ && given_ < held_.size())) {
      std::string line = held_.substr(given_, end == std::string::npos ? end : end - given_);
      given_ = end == std::string::npos ? held_.size() : end + 1;
      return {LineOutcome::line, std::move(line)};
    }
    if (ended_) return {};
    held_.erase(0, given_);
    given_ = 0;
    seen = held_.size();
    if (seen > kMostBytes) throw std::runtime_error(fmt::format("standard input: a line of over {} bytes", kMostBytes));
    std::array<pollfd, 2> files = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals_.prompt_file(), POLLIN, 0}};
    if (::poll(files.data(), files.size(), -1) < 0 && errno != EINTR) {
      throw RunFailure(fmt::format("standard input: {}", std::strerror(errno)));
    }
    if (files[1].revents != 0) return {LineOutcome::interrupted, ""};
    if (files[0].revents == 0) continue;
    std::array<char, 65536> block;
    const ssize_t got = ::read(STDIN_FILENO, block.data(), block.size());
    if (got < 0 && errno != EINTR) throw RunFailure(fmt::format("standard input: {}", std::strerror(errno)));
    if (got == 0) ended_ = true;
    if (got > 0) held_.append(block.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace precis
