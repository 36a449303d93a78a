// The flags that choose tokens and end answers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "flags.h"
#include "precis/request.h"

namespace precis {

class SamplingFlags {
 public:
  void add(Flags& flags);
  // A request for an answer to `ids`: `defaults` (the checkpoint's) with what was given on top. `context`: text tokens
  // of a sequence; an answer's default length fits it, a given one is the engine's to judge. Throws when a flag is
  // wrong.
  Request request(std::vector<std::int32_t> ids, SamplingOptions defaults, std::int64_t context) const;

 private:
  std::optional<std::int64_t> max_tokens_;
  std::optional<float> temperature_, top_p_, min_p_;
  std::optional<int> top_k_;
  std::optional<float> repetition_, presence_, frequency_;
  std::vector<std::string> bias_;
  std::optional<std::int64_t> seed_;
  std::vector<std::string> stop_;
  std::vector<std::string> stop_ids_;
  bool ignore_end_ = false;
  bool show_special_ = false;
  int logprobs_ = -1;
};

}  // namespace precis
