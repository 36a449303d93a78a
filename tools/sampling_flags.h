// The flags that choose tokens and end answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
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

  // Names of what set() changes.
  static std::vector<std::string> names();
  // As if the flag had been given, which may be spelled without its dashes: "temp", "top_p", "max-tokens". An empty
  // value takes back what was given. Throws std::runtime_error for a wrong value; false: there is no such name.
  bool set(std::string_view name, const std::string& value);
  // What was given, by the names that set() takes. A flag that may be repeated comes as often.
  std::vector<std::pair<std::string, std::string>> given() const;

  // Flags that a command may have no use for.
  bool shows_special() const { return show_special_; }
  bool wants_logprobs() const { return logprobs_ >= 0; }

 private:
  template <typename Visit>
  void each_setting(Visit&& visit);

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
