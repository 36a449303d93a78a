// Saves a session of a document, restores it in another process, and says how long that took.
//   precis_session_bench save MODEL FILE TEXT TOKENS    reads the document, asks once, saves; prints the answer that
//   follows precis_session_bench load MODEL FILE                restores it and prints the same answer, with the
//   seconds from the
//                                                       process's start to the first token
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "precis/engine.h"
#include "precis/units.h"

namespace precis {
namespace {

EngineOptions options_of(const std::string& model) {
  EngineOptions options;
  options.model = model;
  options.backend = "cpu";
  return options;
}

// Since the process was started, to a hundredth.
double seconds_since_start() {
  std::ifstream file("/proc/self/stat");
  std::string stat{std::istreambuf_iterator<char>(file), {}};
  stat = stat.substr(stat.rfind(')') + 2);
  std::size_t at = 0;
  for (int field = 3; field < 22; ++field) at = stat.find(' ', at) + 1;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const double started = std::stod(stat.substr(at)) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - started;
}

std::vector<std::int32_t> answer(Engine& engine, const std::vector<std::int32_t>& ids, std::int64_t tokens) {
  Request request;
  request.ids = ids;
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  request.ignore_end = true;
  request.hash_logits = true;
  Stream stream = engine.submit(request);
  std::vector<std::int32_t> answer;
  for (;;) {
    const TokenEvent event = stream.next();
    if (event.end) {
      fmt::print("  {} tokens computed, {} reused, prompt {:.3f} s, logits {:016x}\n",
                 event.usage.prompt_tokens - event.usage.reused_tokens, event.usage.reused_tokens,
                 event.usage.prompt_seconds, event.usage.logits_hash);
      return answer;
    }
    if (answer.empty()) fmt::print("  first token {:.2f} s after the process's start\n", seconds_since_start());
    answer.push_back(event.id);
  }
}

void show(const std::vector<std::int32_t>& ids) {
  for (const std::int32_t id : ids) fmt::print(" {}", id);
  fmt::print("\n");
}

// What follows, with and without a break: the last id of the answer, and two more of a question.
void go_on(Engine& engine, std::vector<std::int32_t> ids) {
  ids.insert(ids.end(), {100, 200});
  show(answer(engine, ids, 20));
}

void save(const std::string& model, const std::string& file, const std::string& text, std::size_t tokens) {
  Engine engine(options_of(model));
  std::ifstream input(text);
  const std::string book{std::istreambuf_iterator<char>(input), {}};
  std::vector<std::int32_t> ids;
  while (ids.size() < tokens) {
    const std::vector<std::int32_t> more = engine.text().encode(book, false);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  ids.resize(tokens);
  const std::vector<std::int32_t> first = answer(engine, ids, 20);
  ids.insert(ids.end(), first.begin(), first.end());
  const SessionInfo info = engine.save_session(file, ids, "");
  fmt::print("saved {} tokens: {} of K and V, a file of {}, in {:.3f} s\n", info.tokens,
             shown_bytes(static_cast<double>(info.kv_bytes)), shown_bytes(static_cast<double>(info.file_bytes)),
             info.seconds);
  go_on(engine, ids);
}

void load(const std::string& model, const std::string& file) {
  Engine engine(options_of(model));
  fmt::print("engine open {:.2f} s after the process's start\n", seconds_since_start());
  const LoadedSession session = engine.load_session(file);
  fmt::print("restored {} tokens in {:.3f} s\n", session.tokens, session.seconds);
  go_on(engine, session.ids);
}

}  // namespace
}  // namespace precis

int main(int count, char** words) {
  try {
    const std::string task = count > 1 ? words[1] : "";
    if (task == "save" && count == 6) return precis::save(words[2], words[3], words[4], std::stoul(words[5])), 0;
    if (task == "load" && count == 4) return precis::load(words[2], words[3]), 0;
    fmt::print(stderr, "usage: {} save MODEL FILE TEXT TOKENS | load MODEL FILE\n", words[0]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  }
  return 2;
}
