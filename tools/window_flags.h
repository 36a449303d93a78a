// The flags that cut a text into windows, the same for every part of precis eval that does.
#pragma once

#include <string>
#include <vector>

#include "flags.h"
#include "precis/engine.h"
#include "text_windows.h"

namespace precis {

struct WindowFlags {
  std::string file;
  WindowSizes sizes;

  // -f, --window, --stride, --tokens. `tokens`: the default of the last; 0: the whole text.
  void add(Flags& flags, std::int64_t tokens);

  // `options` for an engine that reads windows: one sequence, no cache, a context no longer than a window needs.
  EngineOptions engine_options(EngineOptions options) const;
  // Ids that `engine` reads at once.
  std::int64_t window(const Engine& engine) const;
  // Throws std::runtime_error that names the flag when the windows do not fit the model or the text.
  std::vector<TextWindow> cut(const Engine& engine, const std::string& text) const;
};

}  // namespace precis
