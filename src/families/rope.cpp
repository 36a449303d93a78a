#include "families/rope.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace precis {
namespace {

constexpr double max_theta = 1e15;
constexpr double max_factor = 1e6;
constexpr double max_context = 1e12;

RopeKind read_kind(Fields& rope) {
  const auto kind = rope.find({"rope_type", "type"});
  if (!kind || kind->string() == "default") return RopeKind::standard;
  if (kind->string() == "linear") return RopeKind::linear;
  if (kind->string() == "llama3") return RopeKind::llama3;
  if (kind->string() == "yarn") return RopeKind::yarn;
  kind->refuse("expected default, linear, llama3 or yarn");
}

double read_factor(Fields& rope) {
  return rope.number("factor", 1e-6, max_factor);
}

// A copy outside the object wins, as in transformers.
double read_original_context(Fields& config, Fields& rope, double context) {
  constexpr std::string_view key = "original_max_position_embeddings";
  const double inner = rope.number(key, 1, max_context, context);
  return config.number(key, 1, max_context, inner);
}

void read_llama3(Fields& config, Fields& rope, double context, RopeSpec& spec) {
  spec.factor = read_factor(rope);
  spec.low_freq_factor = rope.number("low_freq_factor", 1e-6, max_factor);
  spec.high_freq_factor = rope.number("high_freq_factor", 1e-6, max_factor);
  if (spec.high_freq_factor <= spec.low_freq_factor) {
    rope.at("high_freq_factor").refuse(fmt::format("expected more than low_freq_factor {}", spec.low_freq_factor));
  }
  spec.original_context = read_original_context(config, rope, context);
}

// Source: arXiv 2309.00071; names and defaults are those of transformers 5, where zero stands for the default too.
void read_yarn(Fields& config, Fields& rope, double context, RopeSpec& spec) {
  spec.original_context = read_original_context(config, rope, context);
  spec.factor = rope.find("factor") ? read_factor(rope) : context / spec.original_context;
  const auto positive_or = [&](std::string_view key, double fallback) {
    const double value = rope.number(key, 0, max_factor, fallback);
    return value == 0 ? fallback : value;
  };
  spec.beta_fast = positive_or("beta_fast", spec.beta_fast);
  spec.beta_slow = positive_or("beta_slow", spec.beta_slow);
  spec.mscale = rope.number("mscale", 0, max_factor, 0);
  spec.mscale_all_dim = rope.number("mscale_all_dim", 0, max_factor, 0);
  if (rope.find("attention_factor")) spec.attention_factor = rope.number("attention_factor", 1e-6, max_factor);
  spec.truncate = rope.flag("truncate", true);
}

// What is left after the kind's own settings: those of other kinds are idle, as in transformers; others are refused.
void refuse_rest(Fields& rope) {
  for (const std::string_view key :
       {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow",
        "attention_factor", "mscale", "mscale_all_dim", "truncate", "finetuned"}) {
    rope.ignore(key);
  }
  const auto unread = rope.unread();
  if (unread.empty()) return;
  fail("{}.{}: not known to Precis, and may change results, found {}", rope.object().place(), printable(unread.front()),
       rope.object().at(unread.front()).shown());
}

void expect_whole_rotation(Fields& fields) {
  const auto part = fields.find("partial_rotary_factor");
  if (part && part->number() != 1) part->refuse("expected 1");
}

RopeSpec read_object(Fields& config, Fields& rope, double context, RopeSpec spec) {
  spec.kind = read_kind(rope);
  expect_whole_rotation(rope);
  spec.theta = rope.number("rope_theta", 1.001, max_theta, spec.theta);
  if (spec.kind == RopeKind::linear) spec.factor = read_factor(rope);
  if (spec.kind == RopeKind::llama3) read_llama3(config, rope, context, spec);
  if (spec.kind == RopeKind::yarn) read_yarn(config, rope, context, spec);
  refuse_rest(rope);
  return spec;
}

}  // namespace

RopeSpec read_rope(Fields& config, std::int64_t context) {
  RopeSpec spec;
  spec.theta = config.number("rope_theta", 1.001, max_theta, spec.theta);
  expect_whole_rotation(config);
  const auto current = config.find("rope_parameters");
  const auto former = config.find("rope_scaling");
  if (current && former && current->raw() != former->raw()) {
    former->refuse("disagrees with rope_parameters, expected one of the two");
  }
  if (!current && !former) return spec;
  Fields rope(current ? *current : *former);
  return read_object(config, rope, static_cast<double>(context), spec);
}

}  // namespace precis
