#include "window_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace precis {

namespace {

constexpr std::int64_t kDefaultWindow = 2048;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 28;

}  // namespace

void WindowFlags::add(Flags& flags, std::int64_t tokens) {
  sizes.tokens = tokens;
  flags.text("-f,--file", "FILE", file, "the text, or - for standard input").required();
  flags.count("--window,--ctx", "IDS", sizes.window, 2, kMostTokens,
              "ids that the model reads at once (default 2048, or the context where that is less)");
  flags.count("--stride", "IDS", sizes.stride, 1, kMostTokens,
              "distance of two windows' beginnings (default: they do not overlap)");
  flags.count("--tokens", "N", sizes.tokens, 0, kMostTokens,
              tokens == 0 ? "tokens to be expected, at most (default 0: the whole text)"
                          : fmt::format("tokens to be expected, at most; 0: the whole text (default {})", tokens));
  flags.counts("--ranges", "IDS", bounds, 0, kMostTokens,
               "bounds such as 0,4k,8k,16k: tokens with so many ids before them in their window, apart, and no others\n"
               "(the window is then as long as the last one, unless --window says otherwise)");
}

EngineOptions WindowFlags::engine_options(EngineOptions options) const {
  options.prefix_cache = false;
  options.max_sequences = 1;
  const std::int64_t asked = asked_window();
  if (options.context == 0 && asked > 0) options.context = asked;
  return options;
}

std::int64_t WindowFlags::window(const Engine& engine) const {
  const std::int64_t asked = asked_window();
  return asked > 0 ? asked : std::min(kDefaultWindow, engine.context());
}

std::int64_t WindowFlags::asked_window() const {
  return sizes.window > 0 || bounds.empty() ? sizes.window : std::max<std::int64_t>(bounds.back(), 2);
}

std::vector<TextWindow> WindowFlags::cut(const Engine& engine, const std::string& text) const {
  WindowSizes checked = sizes;
  checked.window = window(engine);
  if (checked.window > engine.context() || checked.window < 2) {
    throw std::runtime_error(
        fmt::format("--window: {} ids, a context of {} expected to hold them", checked.window, engine.context()));
  }
  const TextCodec& codec = engine.text();
  return cut_text(codec.encode(text, false), codec.encode_prompt(""), checked);
}

void WindowFlags::expect_positions(const std::vector<TextWindow>& windows) const {
  const PositionRanges wanted = ranges();
  std::int64_t most = 0;
  for (const TextWindow& window : windows) {
    for (std::size_t index = 0; index < window.targets.size(); ++index) {
      if (wanted.of(window.position(index))) return;
      most = std::max(most, window.position(index));
    }
  }
  throw std::runtime_error(
      fmt::format("--ranges: no token is in them, the text's have at most {} ids before them", most));
}

}  // namespace precis
