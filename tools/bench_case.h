// What `precis bench` measures: one case a row of its table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

struct BenchCase {
  bool prompt = false;         // a prompt is read, or answers are generated
  std::int64_t tokens = 0;     // timed, of each sequence
  std::int64_t depth = 0;      // tokens that each sequence has before
  std::int64_t sequences = 1;  // at once; prompts are read one at a time

  // "pp512", "tg128": as llama-bench calls them.
  std::string test() const;
  // With depth and sequences: "tg128 @ d4096 x 4".
  std::string name() const;
  // Text tokens that a sequence comes to.
  std::int64_t length() const { return depth + tokens; }
  // Context that the engine must have: an answer begins behind one more token of prompt, and its last token is chosen
  // but not computed.
  std::int64_t context() const { return length() + (prompt ? 0 : 2); }
};

struct BenchLists {
  std::vector<std::int64_t> prompts;    // 0: none
  std::vector<std::int64_t> answers;    // 0: none
  std::vector<std::int64_t> depths;     // text tokens
  std::vector<std::int64_t> sequences;  // at once, for answers
};

// Every prompt length at every depth, then every answer length, at every depth, with every number of sequences. Throws
// std::runtime_error when there is nothing to measure.
std::vector<BenchCase> bench_cases(const BenchLists& lists);

}  // namespace precis
