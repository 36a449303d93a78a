// The precis program as its users see it: words in, two streams and an exit code out.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace precis::test {

// 16,000 tokens of Pride and Prejudice.
inline std::string book_with_a_fact() {
  return PRECIS_MODELS + std::string("/../examples/book-with-a-fact.txt");
}

struct Finished {
  int code = -1;  // the exit code; 256 + signal when a signal ended the program
  std::string out;
  std::string err;

  // Each line of standard output as JSON.
  std::vector<nlohmann::json> json() const {
    std::vector<nlohmann::json> values;
    for (std::size_t begin = 0; begin < out.size();) {
      const std::size_t end = std::min(out.find('\n', begin), out.size());
      values.push_back(nlohmann::json::parse(out.substr(begin, end - begin)));
      begin = end + 1;
    }
    return values;
  }
};

// How long a program may be silent. A guard against one that hangs, not a measure.
inline int& patience_seconds() {
  static int seconds = 300;
  return seconds;
}

// A running precis. Its input is given at the start.
class Program {
 public:
  explicit Program(std::vector<std::string> words, const std::string& input = "") {
    const std::filesystem::path file = std::filesystem::temp_directory_path() / ("precis-input-" + unique());
    std::ofstream(file, std::ios::binary) << input;
    const int in = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    std::filesystem::remove(file);
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (in < 0 || ::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    words.insert(words.begin(), PRECIS_BINARY);
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    if (posix_spawn(&pid_, PRECIS_BINARY, &actions, nullptr, pointers.data(), environ) != 0) std::abort();
    posix_spawn_file_actions_destroy(&actions);
    for (const int end : {in, out[1], err[1]}) ::close(end);
    out_ = out[0];
    err_ = err[0];
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    close_output();
    ::close(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Reads until standard output holds so many bytes, or ends. False: it did not within patience_seconds().
  bool wait_for_output(std::size_t bytes) {
    while (out_ >= 0 && finished_.out.size() < bytes) {
      if (!read_some()) return false;
    }
    return finished_.out.size() >= bytes;
  }
  // Reads until standard error holds `part`, or ends. False: it did not within patience_seconds().
  bool wait_for_error(const std::string& part) {
    while (!err_ended_ && finished_.err.find(part) == std::string::npos) {
      if (!read_some()) return false;
    }
    return finished_.err.find(part) != std::string::npos;
  }
  void send(int signal) const { ::kill(pid_, signal); }
  // As when the next program of a pipeline ends.
  void close_output() {
    if (out_ >= 0) ::close(out_);
    out_ = -1;
  }
  Finished finish() {
    while (out_ >= 0 || !err_ended_) {
      if (!read_some()) {
        ADD_FAILURE() << "the program neither wrote nor ended";
        return finished_;
      }
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    finished_.code = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    return finished_;
  }

 private:
  static std::string unique() {
    static int count = 0;
    return std::to_string(::getpid()) + "-" + std::to_string(++count);
  }

  // Waits for either stream. False: nothing came within patience_seconds().
  bool read_some() {
    std::array<pollfd, 2> streams = {pollfd{out_, POLLIN, 0}, pollfd{err_ended_ ? -1 : err_, POLLIN, 0}};
    if (::poll(streams.data(), streams.size(), 1000 * patience_seconds()) <= 0) return false;
    if (streams[0].revents != 0 && !append(out_, finished_.out)) close_output();
    if (streams[1].revents != 0 && !append(err_, finished_.err)) err_ended_ = true;
    return true;
  }
  static bool append(int file, std::string& text) {
    std::array<char, 65536> block;
    const ssize_t got = ::read(file, block.data(), block.size());
    if (got <= 0) return false;
    text.append(block.data(), static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = 0;
  int out_ = -1;
  int err_ = -1;
  bool err_ended_ = false;
  Finished finished_;
};

inline Finished precis(const std::vector<std::string>& words, const std::string& input = "") {
  return Program(words, input).finish();
}

// "a b c" -> {"a", "b", "c"}
inline std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> found;
  for (std::size_t begin = line.find_first_not_of(' '); begin != std::string::npos;) {
    const std::size_t end = std::min(line.find(' ', begin), line.size());
    found.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(' ', end);
  }
  return found;
}

inline std::vector<std::string> operator+(std::vector<std::string> left, const std::vector<std::string>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline std::string demo_ksa() {
  return PRECIS_MODELS "/demo-ksa";
}
inline std::filesystem::path test_data() {
  return PRECIS_TEST_DATA;
}

// `precis run` with the demo model: greedy, one line of JSON an answer.
inline std::vector<std::string> run_json() {
  return {"run", "-m", demo_ksa(), "--json", "--temp", "0"};
}

// What every refusal looks like: exit code 2, nothing on standard output, one line on standard error.
inline void expect_refused(const Finished& finished, const std::string& part) {
  EXPECT_EQ(finished.code, 2);
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(finished.err.rfind("precis: error: ", 0), 0u) << finished.err;
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
  EXPECT_TRUE(finished.err.ends_with('\n'));
  EXPECT_NE(finished.err.find(part), std::string::npos) << "'" << part << "' is not in: " << finished.err;
}

// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "precis-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace precis::test
