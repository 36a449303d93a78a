// What is asked of an engine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis {

// How the next token is chosen from the logits. Order: bias, penalties, temperature, top-k, top-p, min-p, draw.
struct SamplingOptions {
  float temperature = 1;         // 0: the most likely token, always (greedy)
  int top_k = 0;                 // only the k most likely; 0: all
  float top_p = 1;               // the smallest set of most likely tokens whose probability reaches p
  float min_p = 0;               // only tokens at least min_p times as likely as the most likely
  float repetition_penalty = 1;  // > 1: logits of seen tokens (prompt and answer) divided (if > 0) or multiplied by it
  float presence_penalty = 0;    // subtracted once for a token that the answer has
  float frequency_penalty = 0;   // subtracted for each time that the answer has it
  std::vector<std::pair<std::int32_t, float>> logit_bias;  // id, added to its logit
  std::optional<std::uint64_t> seed;                       // none: a fresh one for each request
};

struct Request {
  std::vector<std::int32_t> ids;  // the prompt, at least one id
  // The last so many ids are the answer so far: of a request that was cancelled, or ended at max_tokens, and now goes
  // on as though it had not. Of a request with the same options and sampling.seed, and the same ids before the answer:
  // the tokens that come are those that would have come. max_tokens counts these. The text goes on where the text of
  // whole characters ended that cannot begin a stop text: what came held back with the `end` event comes again.
  std::int64_t answered = 0;
  std::int64_t max_tokens = 0;  // tokens to generate, at most; 0: none (the prompt is computed); < 0: up to the context
  SamplingOptions sampling;
  std::vector<std::string> stop;       // the answer ends before the first of these texts
  std::vector<std::int32_t> stop_ids;  // the answer ends at these ids, beside the model's own
  bool ignore_end = false;             // go on past the model's end ids (not past `stop` and `stop_ids`)
  int top_logprobs = -1;               // >= 0: events carry the token's log probability and so many alternatives
  bool show_special = false;           // special tokens appear in the text
  bool hash_logits = false;            // Usage has a hash of the last logits: a whole row is copied and read for it
  bool keep_prefix = true;  // what is computed may serve later requests that begin alike, as long as there is room

  // Called on the engine's thread with the logits that follow ids[index] (index counts prompt and answer): for the last
  // id of the prompt and each id of the answer or, with all_logits, for every id. Once an index, in order, whatever
  // preemption does; indices taken from the prefix cache are computed anew when all_logits is set.
  std::function<void(std::int64_t index, std::span<const float> logits)> on_logits;
  bool all_logits = false;

  // Called on the engine's thread after each step that has computed a piece of the prompt, with how much of the prompt
  // is computed, what came from the prefix cache included. After a preemption it begins anew, with less. It must return
  // soon: all sequences wait for it.
  std::function<void(std::int64_t computed)> on_progress;
};

}  // namespace precis
