#include "precis/calibrate.h"

#include <algorithm>

#include "attention/visible_set.h"
#include "backend/factory.h"
#include "base/error.h"
#include "engine/score_text.h"
#include "esa/closed_form.h"
#include "esa/esa_file.h"
#include "esa/score_moments.h"
#include "families/families.h"

namespace precis {
namespace {

class EsaFit {
 public:
  explicit EsaFit(const CalibrateOptions& options)
      : options_(options), checkpoint_(Folder(options.model)), spec_(read_model_spec(checkpoint_)) {
    check_options();
    report_.file = options.output.empty() ? options.model / esa_file_name : options.output;
    expect_writable(report_.file);
    text_ = cut_score_text(TextCodec(options_.model), options_, spec_.context);
    report_.length = spec_.kv_heads * spec_.head_dim;
    report_.dim = std::min(options_.dim, report_.length);
    report_.tokens = options_.tokens;
    for (std::size_t window = 0; window < text_.windows.size(); ++window) {
      tokens_.push_back(static_cast<std::int64_t>(text_.windows[window].size()));
      (window < text_.fitted ? fitted_tokens_ : held_out_tokens_) += tokens_.back();
    }
  }

  CalibrateReport run() {
    const auto device = open_backend("cpu", {.threads = options_.threads});
    ScorePass pass(checkpoint_, spec_, *device, std::move(text_.windows));
    EsaCalibration calibration{.dim = report_.dim,
                               .length = report_.length,
                               .layers = {},
                               .tokens = report_.tokens,
                               .text_hash = hash_of_texts(),
                               .model_hash = model_hash(checkpoint_)};
    for (std::int64_t layer = 0; layer < spec_.layers; ++layer) {
      const auto fitted = within(fmt::format("layer {}", layer), [&] { return fit(pass, layer); });
      if (!fitted) {
        report_.stopped = true;
        return std::move(report_);
      }
      calibration.layers.push_back(std::move(*fitted));
    }
    write_esa_file(report_.file, calibration);
    report_.bytes = 2 * spec_.layers * report_.dim * report_.length * std::int64_t{sizeof(float)};
    summarise();
    return std::move(report_);
  }

 private:
  void check_options() const {
    const auto at_least = [](const char* name, std::int64_t value, std::int64_t low) {
      if (value < low) fail("{}: {}, expected at least {}", name, value, low);
    };
    if (options_.texts.empty()) fail("texts: none, expected at least one");
    at_least("tokens", options_.tokens, 1);
    at_least("dim", options_.dim, 1);
    at_least("recall_tokens", options_.recall_tokens, 0);
    at_least("recall_top", options_.recall_top, 1);
    if (options_.threads < 0 || options_.threads > 1024) {
      fail("threads: {}, expected an integer from 0 to 1024", options_.threads);
    }
  }

  std::string hash_of_texts() const {
    std::vector<std::string> texts;
    for (const NamedText& text : options_.texts) texts.push_back(text.text);
    return text_hash(texts);
  }

  // Nothing: stopped.
  std::optional<EsaLayer> fit(ScorePass& pass, std::int64_t layer) {
    const LayerRule& rule = spec_.rules[static_cast<std::size_t>(spec_.rule_of_layer[static_cast<std::size_t>(layer)])];
    ScoreMoments moments(report_.length);
    HeldOutRows held_out(spec_, rule, held_out_tokens_);
    const bool done = pass.next_layer([&](std::size_t window, const ScoreRows& rows) {
      if (window < text_.fitted) {
        moments.add_queries(rows.queries);
        moments.add_keys(rows.keys);
      } else {
        held_out.add(rows, tokens_[window]);
      }
      computed_ += tokens_[window];
      const std::int64_t all = spec_.layers * (fitted_tokens_ + held_out_tokens_);
      return !options_.progress || options_.progress(computed_, all);
    });
    if (!done) return std::nullopt;
    if (moments.keys() == 0)
      fail("the text is too short for any summary, expected more than {} tokens", spec_.chunk.text);
    EsaLayer fitted = report_.dim == report_.length ? identity_layer(report_.length)
                                                    : fit_scores(moments.of_queries(), moments.of_keys(), report_.dim);
    if (held_out_tokens_ > 0) measure(fitted, held_out, keeps_summaries(rule));
    return fitted;
  }

  void measure(const EsaLayer& fitted, const HeldOutRows& held_out, bool summaries) {
    const RecallQueries& queries = held_out.queries();
    report_.queries = static_cast<std::int64_t>(queries.candidates.size());
    report_.layers.push_back(
        {.keys = summaries ? "summaries" : "text",
         .candidates = queries.candidates.empty() ? 0 : queries.candidates.back(),
         .recall = top_recall(queries, held_out.keys(), fitted, report_.length, report_.dim, options_.recall_top)});
  }

  void summarise() {
    double sum = 0;
    std::int64_t counted = 0;
    for (const LayerRecall& layer : report_.layers) {
      if (!layer.recall) continue;
      sum += *layer.recall;
      ++counted;
      report_.least_recall = std::min(report_.least_recall.value_or(1), *layer.recall);
    }
    if (counted > 0) report_.mean_recall = sum / static_cast<double>(counted);
  }

  const CalibrateOptions& options_;
  Checkpoint checkpoint_;
  ModelSpec spec_;
  ScoreText text_;
  std::vector<std::int64_t> tokens_;  // [windows]
  std::int64_t fitted_tokens_ = 0;    // with what stands before each window's text
  std::int64_t held_out_tokens_ = 0;
  std::int64_t computed_ = 0;
  CalibrateReport report_;
};

}  // namespace

CalibrateReport calibrate(const CalibrateOptions& options) {
  return EsaFit(options).run();
}

}  // namespace precis
