#include "text/vocabulary.h"

#include <bit>
#include <functional>

#include "base/error.h"

namespace precis {

Vocabulary::Vocabulary(std::size_t ids, std::size_t texts) : spans_(ids), slots_(std::bit_ceil(texts * 2 + 2), -1) {}

bool Vocabulary::set(std::int32_t id, std::string_view text) {
  PRECIS_CHECK(id >= 0 && id < size());
  if (has(id)) return false;
  spans_[static_cast<std::size_t>(id)] = {block_.size(), text.size()};
  block_ += text;
  return true;
}

void Vocabulary::make_findable(std::int32_t id) {
  PRECIS_CHECK(has(id));
  std::int32_t& slot = slots_[place_of(text(id))];
  if (slot < 0) slot = id;
}

std::string_view Vocabulary::text(std::int32_t id) const {
  if (!has(id)) return {};
  const Span& span = spans_[static_cast<std::size_t>(id)];
  return std::string_view(block_).substr(span.begin, span.length);
}

std::optional<std::int32_t> Vocabulary::find(std::string_view text) const {
  const std::int32_t id = slots_[place_of(text)];
  if (id < 0) return std::nullopt;
  return id;
}

std::size_t Vocabulary::place_of(std::string_view wanted) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t place = std::hash<std::string_view>{}(wanted)&mask;
  while (slots_[place] >= 0 && text(slots_[place]) != wanted) place = (place + 1) & mask;
  return place;
}

}  // namespace precis
