// Runs the cases of `precis bench` on an engine and takes the times.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "bench_case.h"
#include "bench_result.h"
#include "precis/engine.h"
#include "terminal.h"

namespace precis {

class BenchRunner {
 public:
  // `engine` keeps prefixes and has room for every case. Nobody else uses it meanwhile.
  explicit BenchRunner(Engine& engine) : engine_(engine) {}

  // A prompt of so many tokens, at least 1, and two more, untimed: every weight is in memory afterwards, and with a
  // prompt as long as a step takes, so are its working memory and the first pages of the pool.
  void warm_up(std::int64_t tokens);
  // Tokens a second of one repetition, all sequences together, and the KV bytes that they held at its end. Throws
  // RunFailure when the engine fails or the run was cancelled.
  struct Sample {
    double rate = 0;
    std::int64_t kv_bytes = 0;
    std::int64_t kv_far_bytes = 0;
  };
  Sample measure(const BenchCase& test);
  StepCost token_cost(const BenchCase& test) const;

  // Of one text, which starts anew with `from` 0: reads on to `to` tokens where the call before has stopped, at `from`.
  // Throws RunFailure as above, and when anything was computed twice.
  struct Stretch {
    double seconds = 0;
    KvReport kv;  // of all `to` tokens
  };
  Stretch read_on(std::int64_t from, std::int64_t to, Notes& notes);
  // Tokens a second of an answer behind what read_on() has read, `test.depth` tokens.
  double generate(const BenchCase& test);
  // Of the tokens [from, to) of a prompt, all together.
  StepCost prompt_cost(std::int64_t from, std::int64_t to) const { return engine_.prompt_cost(from, to - from); }

  // What runs ends, and nothing runs afterwards. Any thread.
  void cancel();
  bool cancelled();

 private:
  // Ids of the text that a sequence begins with: [0, tokens) of text number `text`, random but the same each time.
  std::vector<std::int32_t> ids(std::uint64_t text, std::int64_t tokens) const;
  // Computes what stands before the timed part of a case, unless the cache has it.
  void fill(const BenchCase& test, bool again);
  // A case behind what is filled; nothing: part of that was computed once more, within the time.
  std::optional<Sample> sample(const BenchCase& test);
  std::vector<Usage> run(std::vector<Request> requests);
  std::vector<Request> requests(const BenchCase& test);

  Engine& engine_;
  std::map<std::int64_t, std::int64_t> filled_;  // depth -> sequences that were computed so far
  std::uint64_t fresh_text_ = std::uint64_t{1} << 32;
  std::mutex mutex_;  // of what follows
  std::vector<Stream> streams_;
  bool cancelled_ = false;
};

}  // namespace precis
