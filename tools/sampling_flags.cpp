#include "sampling_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace precis {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
constexpr std::int64_t kMostIds = std::numeric_limits<std::int32_t>::max();

// "--max-tokens", "max_tokens" -> "max-tokens"
std::string plain_name(std::string_view name) {
  while (name.starts_with('-')) name.remove_prefix(1);
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '_', '-');
  return plain;
}

}  // namespace

void SamplingFlags::add(Flags& flags) {
  flags.heading("Answer");
  flags.count("-n,--max-tokens,--n-predict,--predict", "TOKENS", max_tokens_, -2, kMostTokens,
              "tokens to generate, at most (default 512, or what the context has left);\n0: the prompt is only "
              "computed; -1: up to the context");
  flags.texts("--stop,-r,--reverse-prompt", "TEXT", stop_, "the answer ends before this text; may be repeated");
  flags.texts("--stop-id", "ID", stop_ids_, "the answer ends at this id; may be repeated");
  flags.flag("--ignore-eos", ignore_end_, "go on past the model's end token");
  flags.flag("--special", show_special_, "show special tokens in the text");
  flags.count("--logprobs", "N", logprobs_, 0, 1000, "each token's log probability and N alternatives");

  flags.heading("Sampling (defaults: the model's generation_config.json)");
  flags.number("--temp,--temperature", "T", temperature_, 0, infinity, "0: the most likely token, always");
  flags.count("--top-k", "K", top_k_, -1, 1 << 30, "only the K most likely tokens; 0 or -1: all");
  flags.number("--top-p", "P", top_p_, 0, 1, "the most likely tokens that together reach probability P; 1: all");
  flags.number("--min-p", "P", min_p_, 0, 1, "only tokens at least P times as likely as the most likely; 0: all");
  flags.number("--repeat-penalty,--repetition-penalty", "X", repetition_, 1e-3, 1e3,
               "> 1: tokens of prompt and answer become less likely; 1: off");
  flags.number("--presence-penalty", "X", presence_, -1e3, 1e3, "subtracted once for tokens that the answer has");
  flags.number("--frequency-penalty", "X", frequency_, -1e3, 1e3, "subtracted for each time that the answer has it");
  flags.texts("--logit-bias", "ID=VALUE", bias_, "added to the token's logit; may be repeated");
  flags.count("-s,--seed", "N", seed_, -1, largest, "same seed, same text; -1: a fresh one each time");
}

Request SamplingFlags::request(std::vector<std::int32_t> ids, SamplingOptions defaults, std::int64_t context) const {
  Request request;
  const std::int64_t room = context - static_cast<std::int64_t>(ids.size());
  request.max_tokens = std::max(max_tokens_.value_or(std::clamp<std::int64_t>(room, 1, 512)), std::int64_t{-1});
  request.ids = std::move(ids);
  request.hash_logits = true;
  request.sampling = std::move(defaults);
  SamplingOptions& sampling = request.sampling;
  if (temperature_) sampling.temperature = *temperature_;
  if (top_k_) sampling.top_k = std::max(*top_k_, 0);
  if (top_p_) sampling.top_p = *top_p_;
  if (min_p_) sampling.min_p = *min_p_;
  if (repetition_) sampling.repetition_penalty = *repetition_;
  if (presence_) sampling.presence_penalty = *presence_;
  if (frequency_) sampling.frequency_penalty = *frequency_;
  for (const std::string& text : bias_) sampling.logit_bias.push_back(parse_bias("--logit-bias", text));
  if (seed_ && *seed_ >= 0) sampling.seed = static_cast<std::uint64_t>(*seed_);
  request.stop = stop_;
  for (const std::string& text : stop_ids_) {
    request.stop_ids.push_back(static_cast<std::int32_t>(parse_count("--stop-id", text, 0, kMostIds)));
  }
  request.ignore_end = ignore_end_;
  request.show_special = show_special_;
  request.top_logprobs = logprobs_;
  return request;
}

namespace {

// One thing that set() changes and given() tells.
struct Setting {
  std::vector<std::string> names;  // the one that is told first
  std::function<void(const std::string& name, const std::string& value)> set;
  std::function<std::vector<std::string>()> given;
};

template <typename Target>
Setting number_setting(std::vector<std::string> names, std::optional<Target>& target, double low, double high) {
  return {std::move(names),
          [&target, low, high](const std::string& name, const std::string& value) {
            target = value.empty() ? std::nullopt
                                   : std::optional<Target>(static_cast<Target>(parse_number(name, value, low, high)));
          },
          [&target] { return target ? std::vector{fmt::format("{}", *target)} : std::vector<std::string>(); }};
}

template <typename Target>
Setting count_setting(std::vector<std::string> names, std::optional<Target>& target, std::int64_t low,
                      std::int64_t high) {
  return {std::move(names),
          [&target, low, high](const std::string& name, const std::string& value) {
            target = value.empty() ? std::nullopt
                                   : std::optional<Target>(static_cast<Target>(parse_count(name, value, low, high)));
          },
          [&target] { return target ? std::vector{fmt::format("{}", *target)} : std::vector<std::string>(); }};
}

Setting list_setting(std::vector<std::string> names, std::vector<std::string>& target,
                     std::function<void(const std::string& name, const std::string& value)> check) {
  return {std::move(names),
          [&target, check = std::move(check)](const std::string& name, const std::string& value) {
            if (value.empty()) {
              target.clear();
            } else {
              check(name, value);
              target.push_back(value);
            }
          },
          [&target] { return target; }};
}

}  // namespace

// The same names and ranges as add() has.
template <typename Visit>
void SamplingFlags::each_setting(Visit&& visit) {
  visit(count_setting({"max-tokens", "n", "n-predict", "predict"}, max_tokens_, -2, kMostTokens));
  visit(number_setting({"temp", "temperature"}, temperature_, 0, infinity));
  visit(count_setting({"top-k"}, top_k_, -1, 1 << 30));
  visit(number_setting({"top-p"}, top_p_, 0, 1));
  visit(number_setting({"min-p"}, min_p_, 0, 1));
  visit(number_setting({"repeat-penalty", "repetition-penalty"}, repetition_, 1e-3, 1e3));
  visit(number_setting({"presence-penalty"}, presence_, -1e3, 1e3));
  visit(number_setting({"frequency-penalty"}, frequency_, -1e3, 1e3));
  visit(list_setting({"logit-bias"}, bias_, [](const auto& name, const auto& value) { parse_bias(name, value); }));
  visit(count_setting({"seed", "s"}, seed_, -1, largest));
  visit(list_setting({"stop", "r", "reverse-prompt"}, stop_, [](const auto&, const auto&) {}));
  visit(list_setting({"stop-id"}, stop_ids_,
                     [](const auto& name, const auto& value) { parse_count(name, value, 0, kMostIds); }));
}

std::vector<std::string> SamplingFlags::names() {
  std::vector<std::string> names;
  SamplingFlags().each_setting([&](const Setting& setting) { names.push_back(setting.names[0]); });
  return names;
}

bool SamplingFlags::set(std::string_view name, const std::string& value) {
  bool found = false;
  const std::string plain = plain_name(name);
  each_setting([&](const Setting& setting) {
    if (found || std::ranges::find(setting.names, plain) == setting.names.end()) return;
    found = true;
    setting.set(setting.names[0], value);
  });
  return found;
}

std::vector<std::pair<std::string, std::string>> SamplingFlags::given() const {
  std::vector<std::pair<std::string, std::string>> given;
  SamplingFlags(*this).each_setting([&](const Setting& setting) {
    for (std::string& value : setting.given()) given.emplace_back(setting.names[0], std::move(value));
  });
  return given;
}

}  // namespace precis
