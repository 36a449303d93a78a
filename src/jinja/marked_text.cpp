#include "jinja/marked_text.h"

#include <algorithm>

#include "base/error.h"

namespace precis::jinja {

MarkedText::MarkedText(std::string bytes, bool trusted) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), trusted});
}

std::size_t MarkedText::run_of(std::size_t byte) const {
  const auto found = std::upper_bound(runs_.begin(), runs_.end(), byte,
                                      [](std::size_t wanted, const Run& run) { return wanted < run.end; });
  return static_cast<std::size_t>(found - runs_.begin());
}

bool MarkedText::trusted_at(std::size_t byte) const {
  PRECIS_CHECK(byte < bytes_.size());
  return runs_[run_of(byte)].trusted;
}

void MarkedText::append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (runs_.empty() || runs_.back().trusted != trusted) runs_.push_back({0, trusted});
  runs_.back().end = bytes_.size();
}

void MarkedText::append(const MarkedText& text, std::size_t from, std::size_t to) {
  PRECIS_CHECK(this != &text && from <= to && to <= text.size());
  const std::string_view bytes = text.bytes_;
  for (std::size_t run = text.run_of(from); from < to; ++run) {
    const std::size_t end = std::min(to, text.runs_[run].end);
    append(bytes.substr(from, end - from), text.runs_[run].trusted);
    from = end;
  }
}

MarkedText MarkedText::slice(std::size_t from, std::size_t to) const {
  MarkedText part;
  part.append(*this, from, to);
  return part;
}

}  // namespace precis::jinja
