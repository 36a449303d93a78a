// The one exception type of the project, and the check for broken invariants.
//
// Opening things (files, checkpoints, options) throws Error with a message that carries its trail from the outside in:
// "models/x/config.json: rope_scaling.rope_type: unknown 'foo', expected default, linear, llama3 or yarn".
// An expected shortage (no page free, queue full) is a value, never an exception.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace precis {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what) : std::runtime_error(what) {}

  // The same error seen from one level further out: "place: what".
  Error within(std::string_view place) const { return Error(fmt::format("{}: {}", place, what())); }
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `work`; an Error that leaves it gets `place` in front of its message.
template <typename Work>
decltype(auto) within(std::string_view place, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error& error) {
    throw error.within(place);
  }
}

// Ends the process: the program itself is wrong, so no state can be trusted.
[[noreturn]] void broken_invariant(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace precis

// On in all builds. Extra arguments are a format string and its values.
#define PRECIS_CHECK(condition, ...)                                                             \
  do {                                                                                           \
    if (!(condition)) [[unlikely]]                                                               \
      ::precis::broken_invariant(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
