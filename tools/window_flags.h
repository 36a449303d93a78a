// The flags that cut a text into windows, the same for every part of precis eval that does.
#pragma once

#include <string>
#include <vector>

#include "flags.h"
#include "position_ranges.h"
#include "precis/engine.h"
#include "text_windows.h"

namespace precis {

struct WindowFlags {
  std::string file;
  WindowSizes sizes;
  std::vector<std::int64_t> bounds;  // of ranges of positions; none: all positions together

  // -f, --window, --stride, --tokens, --ranges. `tokens`: the default of the last; 0: the whole text.
  void add(Flags& flags, std::int64_t tokens);

  // `options` for an engine that reads windows: one sequence, no cache, a context no longer than a window needs.
  EngineOptions engine_options(EngineOptions options) const;
  PositionRanges ranges() const { return bounds.empty() ? PositionRanges() : PositionRanges(bounds); }
  // Ids that `engine` reads at once.
  std::int64_t window(const Engine& engine) const;
  // Throws std::runtime_error that names the flag when the windows do not fit the model or the text.
  std::vector<TextWindow> cut(const Engine& engine, const std::string& text) const;
  // Throws unless a token of `windows` is in one of the ranges: asked before anything is computed.
  void expect_positions(const std::vector<TextWindow>& windows) const;

 private:
  // 0: neither --window nor --ranges says it.
  std::int64_t asked_window() const;
};

}  // namespace precis
