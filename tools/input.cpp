#include "input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "numbers.h"

namespace precis {

namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

[[noreturn]] void refuse(std::string_view flag, const std::string& path, std::string_view complaint) {
  throw std::runtime_error(fmt::format("{}: {}: {}", flag, path == "-" ? "standard input" : path, complaint));
}

// Closes what open() gave, not standard input.
class Descriptor {
 public:
  Descriptor(std::string_view flag, const std::string& path) : number_(STDIN_FILENO) {
    if (path == "-") return;
    number_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (number_ < 0) refuse(flag, path, std::strerror(errno));
  }
  ~Descriptor() {
    if (number_ != STDIN_FILENO) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number() const { return number_; }

 private:
  int number_;
};

nlohmann::json read_list(std::string_view flag, const std::string& path, std::string_view expected) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(read_input(flag, path));
  } catch (const nlohmann::json::exception& error) {
    refuse(flag, path, error.what());
  }
  if (!document.is_array()) refuse(flag, path, fmt::format("{} expected, {} found", expected, document.type_name()));
  return document;
}

}  // namespace

std::string read_input(std::string_view flag, const std::string& path) {
  const Descriptor file(flag, path);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) refuse(flag, path, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse(flag, path, "is a folder, a file is expected");
  std::string text;
  std::size_t filled = 0;
  while (true) {
    text.resize(filled + (std::size_t{1} << 16) + filled / 2);
    const ssize_t got = ::read(file.number(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(flag, path, std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled > kMaxBytes) refuse(flag, path, fmt::format("longer than {} bytes", kMaxBytes));
  }
  text.resize(filled);
  return text;
}

std::vector<std::string> read_text_list(std::string_view flag, const std::string& path) {
  constexpr std::string_view expected = "a list of texts";
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (auto& item : read_list(flag, path, expected)) {
    if (!item.is_string()) {
      refuse(flag, path, fmt::format("[{}]: {} found, {} expected", at, item.type_name(), expected));
    }
    texts.push_back(std::move(item.get_ref<std::string&>()));
    ++at;
  }
  return texts;
}

std::vector<std::vector<std::int32_t>> read_id_lists(std::string_view flag, const std::string& path) {
  constexpr std::string_view expected = "a list of lists of ids";
  std::vector<std::vector<std::int32_t>> lists;
  for (const auto& list : read_list(flag, path, expected)) {
    const std::size_t row = lists.size();
    if (!list.is_array())
      refuse(flag, path, fmt::format("[{}]: {} found, {} expected", row, list.type_name(), expected));
    std::vector<std::int32_t> ids;
    for (const auto& id : list) {
      const bool whole = id.is_number_unsigned() && id.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
      if (!whole) {
        refuse(flag, path, fmt::format("[{}][{}]: {} found, an id expected", row, ids.size(), shown_text(id.dump())));
      }
      ids.push_back(id.get<std::int32_t>());
    }
    lists.push_back(std::move(ids));
  }
  return lists;
}

}  // namespace precis
