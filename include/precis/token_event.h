// What an engine answers: a stream of events, the last of which is an `end`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precis/memory_report.h"

namespace precis {

enum class EndReason : std::uint8_t {
  end_token,    // the model's end id or one of stop_ids
  stop_string,  // one of `stop` appeared
  length,       // max_tokens or the context is reached
  cancelled,    // by the caller
  failed,       // `error` says why
};

struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0;
};

// Wall-clock seconds and counts of one request.
struct Usage {
  std::int64_t prompt_tokens = 0;  // ids of the request, those of an answer so far included
  std::int64_t reused_tokens = 0;  // of the prompt, taken from the prefix cache
  std::int64_t answer_tokens = 0;
  int preemptions = 0;
  double wait_seconds = 0;        // from submission to the first step
  double prompt_seconds = 0;      // from the first step to the first token
  double answer_seconds = 0;      // from the first token to the last
  std::uint64_t logits_hash = 0;  // FNV-1a of the bytes of the last logits, if asked for; otherwise 0
  KvReport kv;                    // what the sequence held when it ended
};

struct TokenEvent {
  bool end = false;

  // A token (end == false). `text` is what this token completes: whole UTF-8 characters, perhaps none; text that may
  // yet become a stop string is held back.
  std::int32_t id = 0;
  std::string text;  // with `end`: what was held back
  std::optional<float> logprob;
  std::vector<TokenLogprob> top;

  // The end.
  EndReason reason = EndReason::length;
  std::string error;
  Usage usage;
};

}  // namespace precis
