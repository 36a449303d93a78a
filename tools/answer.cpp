#include "answer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kv_json.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"reused_tokens", usage.reused_tokens},
          {"answer_tokens", usage.answer_tokens},
          {"preemptions", usage.preemptions},
          {"wait_seconds", usage.wait_seconds},
          {"prompt_seconds", usage.prompt_seconds},
          {"answer_seconds", usage.answer_seconds},
          {"prompt_tokens_per_second", prompt_rate(usage)},
          {"answer_tokens_per_second", answer_rate(usage)}};
}

Json logprobs_json(const std::vector<AnswerToken>& tokens, const TextCodec& codec) {
  Json list = Json::array();
  for (const AnswerToken& token : tokens) {
    Json top = Json::array();
    for (const TokenLogprob& other : token.top) {
      top.push_back({{"id", other.id}, {"piece", codec.piece(other.id)}, {"logprob", other.logprob}});
    }
    list.push_back({{"id", token.id},
                    {"piece", codec.piece(token.id)},
                    {"logprob", token.logprob.value()},
                    {"top", std::move(top)}});
  }
  return list;
}

}  // namespace

void Answer::add(const TokenEvent& event) {
  text += event.text;
  if (!event.end) {
    tokens.push_back({event.id, event.logprob, event.top});
    return;
  }
  reason = event.reason;
  error = event.error;
  usage = event.usage;
}

std::string_view reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::end_token:
      return "end_token";
    case EndReason::stop_string:
      return "stop_string";
    case EndReason::length:
      return "length";
    case EndReason::cancelled:
      return "cancelled";
    case EndReason::failed:
      return "failed";
  }
  return "failed";
}

double prompt_rate(const Usage& usage) {
  const auto computed = static_cast<double>(usage.prompt_tokens - usage.reused_tokens);
  return usage.prompt_seconds > 0 ? computed / usage.prompt_seconds : 0;
}

double answer_rate(const Usage& usage) {
  const auto timed = static_cast<double>(usage.answer_tokens - 1);
  return usage.answer_tokens > 1 && usage.answer_seconds > 0 ? timed / usage.answer_seconds : 0;
}

std::string answer_json(const Answer& answer, std::size_t index, const TextCodec& codec) {
  Json ids = Json::array();
  bool with_logprobs = false;
  for (const AnswerToken& token : answer.tokens) {
    ids.push_back(token.id);
    with_logprobs = with_logprobs || token.logprob.has_value();
  }
  Json object = {{"index", index},
                 {"text", answer.text},
                 {"ids", std::move(ids)},
                 {"finish_reason", reason_name(answer.reason)},
                 {"usage", usage_json(answer.usage)},
                 {"kv", kv_json(answer.usage.kv)},
                 {"logits_hash", fmt::format("{:016x}", answer.usage.logits_hash)}};
  if (with_logprobs) object["logprobs"] = logprobs_json(answer.tokens, codec);
  if (!answer.error.empty()) object["error"] = answer.error;
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace precis
