// The parts of texts that ESA's projections are fitted to and measured on.
#pragma once

#include <cstdint>
#include <span>

#include "calibration/score_pass.h"
#include "esa/recall.h"
#include "model/model_spec.h"
#include "precis/calibrate.h"
#include "precis/text_codec.h"

namespace precis {

struct ScoreText {
  TextWindows windows;     // those to be fitted to, then those held out; each with what stands before a text (bos)
  std::size_t fitted = 0;  // windows
};

// Windows of 16,384 ids, or `context` where that is less. Those to be fitted to have `tokens` ids of text, from all
// parts of `texts`, taken one behind the other; those held out `recall_tokens`, without a gap. Throws Error that names
// the text, what it has and what was expected when it is too short.
ScoreText cut_score_text(const TextCodec& codec, const CalibrateOptions& options, std::int64_t context);

// One layer's keys of the held-out windows side by side, and every 64th text row's query of their last quarter.
class HeldOutRows {
 public:
  // `tokens`: text tokens of all held-out windows. The spec outlives it.
  HeldOutRows(const ModelSpec& spec, const LayerRule& rule, std::int64_t tokens);

  // The next window of so many text tokens.
  void add(const ScoreRows& rows, std::int64_t tokens);

  // A query's candidates are the keys before it that its layer shows it: text, or summaries once their text has left
  // the window.
  const RecallQueries& queries() const { return queries_; }
  std::span<const float> keys() const { return keys_; }

 private:
  const ModelSpec& spec_;
  LayerRule rule_;
  std::int64_t tokens_;
  std::int64_t seen_ = 0;
  std::int64_t length_;
  RecallQueries queries_;
  std::vector<float> keys_;
};

}  // namespace precis
