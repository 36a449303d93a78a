#include "engine/calibration_text.h"

#include <algorithm>

#include "base/error.h"

namespace precis {
namespace {

constexpr std::int64_t longest_window = 2048;

}  // namespace

TextWindows cut_calibration_text(const TextCodec& codec, std::span<const std::string> texts, std::int64_t context,
                                 std::int64_t tokens) {
  const std::vector<std::int32_t> begin = codec.encode_prompt("");
  const std::int64_t length = std::min(longest_window, context);
  if (length <= static_cast<std::int64_t>(begin.size())) {
    fail("calibration text: a context of {} tokens, {} of which stand before a text, has no room for any", context,
         begin.size());
  }
  const auto step = static_cast<std::size_t>(length) - begin.size();
  TextWindows all;
  std::size_t seen = 0;
  for (const std::string& text : texts) {
    const std::vector<std::int32_t> ids = codec.encode(text, false);
    seen += ids.size();
    for (auto from = ids.begin(); ids.end() - from >= static_cast<std::ptrdiff_t>(step);
         from += static_cast<std::ptrdiff_t>(step)) {
      all.emplace_back(begin).insert(all.back().end(), from, from + static_cast<std::ptrdiff_t>(step));
    }
  }
  if (all.empty()) fail("calibration text: {} tokens, expected at least {} of them in one file", seen, step);
  const std::size_t wanted = static_cast<std::size_t>(std::max<std::int64_t>(tokens / length, 1));
  if (wanted >= all.size()) return all;
  TextWindows windows;
  for (std::size_t index = 0; index < wanted; ++index) {
    windows.push_back(std::move(all[index * all.size() / wanted]));
  }
  return windows;
}

}  // namespace precis
