#include "engine/score_text.h"

#include <algorithm>

#include "attention/visible_set.h"
#include "base/error.h"
#include "precis/units.h"

namespace precis {
namespace {

constexpr std::int64_t longest_window = 16384;
constexpr std::int64_t query_distance = 64;

using Ids = std::vector<std::int32_t>;

Ids ids_of(const TextCodec& codec, std::span<const NamedText> texts) {
  Ids all;
  for (const NamedText& text : texts) {
    const Ids ids = codec.encode(text.text, false);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

std::string name_of_all(std::span<const NamedText> texts) {
  if (texts.size() == 1) return texts.front().name;
  return fmt::format("{} and {} more", texts.front().name, texts.size() - 1);
}

// `tokens` ids in windows of `step` with `begin` before each; what lies between them is spread evenly.
void cut(std::span<const std::int32_t> ids, std::int64_t tokens, std::int64_t step, const Ids& begin,
         TextWindows& windows) {
  const std::int64_t count = (tokens + step - 1) / step;
  const std::int64_t spare = static_cast<std::int64_t>(ids.size()) - tokens;
  for (std::int64_t index = 0; index < count; ++index) {
    const std::int64_t from = index * step + spare / count * index;
    const auto part =
        ids.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(std::min(step, tokens - index * step)));
    windows.emplace_back(begin).insert(windows.back().end(), part.begin(), part.end());
  }
}

}  // namespace

ScoreText cut_score_text(const TextCodec& codec, const CalibrateOptions& options, std::int64_t context) {
  const Ids begin = codec.encode_prompt("");
  const std::int64_t step = std::min(longest_window, context) - static_cast<std::int64_t>(begin.size());
  if (step < 1) {
    fail("a context of {} tokens, {} of which stand before a text, has no room for any", context, begin.size());
  }
  const auto expect = [](std::span<const NamedText> texts, const Ids& ids, std::int64_t wanted, std::string_view why) {
    const auto found = static_cast<std::int64_t>(ids.size());
    if (found >= wanted) return;
    fail("{}: {} tokens, expected at least {}{}", name_of_all(texts), shown_count(found), shown_count(wanted), why);
  };
  Ids ids = ids_of(codec, options.texts);
  const bool splits = !options.held_out && options.recall_tokens > 0;
  expect(options.texts, ids, options.tokens + (splits ? options.recall_tokens : 0),
         splits ? fmt::format(": {} to fit to and {} to measure on", shown_count(options.tokens),
                              shown_count(options.recall_tokens))
                : std::string());
  Ids held_out;
  if (splits) {
    held_out.assign(ids.end() - options.recall_tokens, ids.end());
    ids.resize(ids.size() - held_out.size());
  } else if (options.recall_tokens > 0) {
    held_out = ids_of(codec, {&*options.held_out, 1});
    expect({&*options.held_out, 1}, held_out, options.recall_tokens, "");
    held_out.resize(static_cast<std::size_t>(options.recall_tokens));
  }
  ScoreText text;
  cut(ids, options.tokens, step, begin, text.windows);
  text.fitted = text.windows.size();
  if (!held_out.empty()) cut(held_out, options.recall_tokens, step, begin, text.windows);
  return text;
}

HeldOutRows::HeldOutRows(const ModelSpec& spec, const LayerRule& rule, std::int64_t tokens)
    : spec_(spec), rule_(rule), tokens_(tokens), length_(spec.kv_heads * spec.head_dim) {}

void HeldOutRows::add(const ScoreRows& rows, std::int64_t tokens) {
  const std::int64_t before = static_cast<std::int64_t>(keys_.size()) / length_;
  const bool summaries = keeps_summaries(rule_);
  for (std::int64_t text = 0; text < tokens; ++text, ++seen_) {
    if (seen_ < tokens_ - tokens_ / 4 || seen_ % query_distance != query_distance - 1) continue;
    const float* query = rows.queries.data() + text * length_;
    queries_.rows.insert(queries_.rows.end(), query, query + length_);
    queries_.candidates.push_back(before + (summaries ? text_row_bounds(rule_, spec_.chunk, text).summary.high : text));
  }
  keys_.insert(keys_.end(), rows.keys.begin(), rows.keys.end());
}

}  // namespace precis
