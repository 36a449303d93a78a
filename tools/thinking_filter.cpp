#include "thinking_filter.h"

#include <algorithm>
#include <utility>

namespace precis {

namespace {

constexpr std::string_view kBlank = " \t\r\n";

// Bytes at the end of `text` that may begin `tag`.
std::size_t begun(std::string_view text, std::string_view tag) {
  for (std::size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (text.ends_with(tag.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

ThinkingFilter::ThinkingFilter(std::optional<ThinkTags> tags, bool inside)
    : place_(!tags    ? Place::behind
             : inside ? Place::inside
                      : Place::before),
      skips_blank_(tags.has_value()) {
  if (tags) tags_ = std::move(*tags);
}

std::vector<ThinkingFilter::Stretch> ThinkingFilter::cut(std::string_view text, bool at_end) {
  held_ += text;
  std::vector<Stretch> stretches;
  const auto give = [&](std::string_view part, bool thinking) {
    if (skips_blank_) part.remove_prefix(std::min(part.find_first_not_of(kBlank), part.size()));
    if (part.empty()) return;
    skips_blank_ = false;
    stretches.push_back({std::string(part), thinking});
  };
  if (place_ == Place::before) {
    const std::string_view words =
        std::string_view(held_).substr(std::min(held_.find_first_not_of(kBlank), held_.size()));
    if (words.starts_with(tags_.open)) {
      held_.erase(0, held_.size() - words.size() + tags_.open.size());
      place_ = Place::inside;
    } else if (at_end || !std::string_view(tags_.open).starts_with(words)) {
      place_ = Place::behind;
      skips_blank_ = false;  // no thinking: the text is the model's as it is
    }
  }
  if (place_ == Place::inside) {
    const std::size_t close = held_.find(tags_.close);
    const std::size_t keeps = close == std::string::npos && !at_end ? begun(held_, tags_.close) : 0;
    give(std::string_view(held_).substr(0, close == std::string::npos ? held_.size() - keeps : close), true);
    if (close == std::string::npos) {
      held_.erase(0, held_.size() - keeps);
    } else {
      held_.erase(0, close + tags_.close.size());
      place_ = Place::behind;
      skips_blank_ = true;
    }
  }
  if (place_ == Place::behind) give(std::exchange(held_, ""), false);
  return stretches;
}

}  // namespace precis
