// One request's answer, gathered from its events, and its JSON form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precis/text_codec.h"
#include "precis/token_event.h"

namespace precis {

struct AnswerToken {
  std::int32_t id = 0;
  std::optional<float> logprob;
  std::vector<TokenLogprob> top;
};

struct Answer {
  std::string text;
  std::vector<AnswerToken> tokens;
  EndReason reason = EndReason::length;
  std::string error;
  Usage usage;

  void add(const TokenEvent& event);
};

// "end_token", "stop_string", "length", "cancelled", "failed"
std::string_view reason_name(EndReason reason);

// Rates of one request. 0 where nothing was computed.
double prompt_rate(const Usage& usage);  // prompt tokens computed a second
double answer_rate(const Usage& usage);  // answer tokens a second, after the first

// One line of JSON. `index` counts the prompts of a batch. Text that is not UTF-8 gets replacement characters.
std::string answer_json(const Answer& answer, std::size_t index, const TextCodec& codec);

}  // namespace precis
