#include "text_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "outcome.h"

namespace precis {

std::vector<TextWindow> cut_text(const std::vector<std::int32_t>& text, const std::vector<std::int32_t>& begin,
                                 const WindowSizes& sizes) {
  const auto before = static_cast<std::int64_t>(begin.size());
  const auto length = static_cast<std::int64_t>(text.size());
  const std::int64_t room = sizes.window - before;
  const std::int64_t stride = sizes.stride == 0 ? room : sizes.stride;
  if (stride > room) {
    throw std::runtime_error(
        fmt::format("--stride: {} given, at most {} expected: the text in a window of {}", stride, room, sizes.window));
  }
  // The first token is expected only where a begin id stands before it.
  std::int64_t next = 1 - before;
  const std::int64_t end = sizes.tokens == 0 ? length : std::min(length, next + sizes.tokens);
  if (next >= end) throw std::runtime_error(fmt::format("--file: {} tokens of text, at least 2 expected", length));
  std::vector<TextWindow> windows;
  for (std::int64_t start = 0; next < end; start += stride) {
    const std::int64_t last = std::min(start + room, end - 1);  // ids of the text in it end before this one
    TextWindow window{begin, {}};
    window.ids.insert(window.ids.end(), text.begin() + start, text.begin() + last);
    const std::int64_t targets_end = std::min(start + room + 1, end);
    window.targets.assign(text.begin() + next, text.begin() + targets_end);
    next = targets_end;
    windows.push_back(std::move(window));
  }
  return windows;
}

void compute_window(Engine& engine, const TextWindow& window,
                    const std::function<void(std::size_t index, std::span<const float> logits)>& take) {
  const std::size_t skipped = window.ids.size() - window.targets.size();
  std::size_t taken = 0;
  std::exception_ptr failure;
  Request request;
  request.ids = window.ids;
  request.all_logits = true;
  request.on_logits = [&](std::int64_t index, std::span<const float> logits) {
    if (failure || static_cast<std::size_t>(index) < skipped) return;
    try {
      take(static_cast<std::size_t>(index) - skipped, logits);
      ++taken;
    } catch (...) {  // the engine's thread is not the place to end
      failure = std::current_exception();
    }
  };
  Stream stream = engine.submit(std::move(request));
  TokenEvent event = stream.next();
  while (!event.end) event = stream.next();
  if (failure) std::rethrow_exception(failure);
  if (event.reason == EndReason::failed) throw RunFailure(event.error);
  if (taken != window.targets.size()) {
    throw RunFailure(fmt::format("the engine gave logits of {} of {} positions", taken, window.targets.size()));
  }
}

}  // namespace precis
