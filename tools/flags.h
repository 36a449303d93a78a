// The flags of one command: CLI11 finds names and values, the conversions are ours, so that each complaint is one line
// with flag, value and what was expected. Targets must outlive the parse. A flag given twice: the last counts, except
// for lists.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "numbers.h"

// CLI11's header makes a compiler work for ten seconds: it is included in three files alone.
namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace precis {

// One that was added; there as long as its command.
class Flag {
 public:
  explicit Flag(CLI::Option* option) : option_(option) {}

  void required();
  bool given() const;
  // "--needle-file"
  std::string name() const;

 private:
  CLI::Option* option_;
};

class Flags {
 public:
  // Names in `names` are as CLI11 wants them: "-n,--max-tokens,--predict".
  explicit Flags(CLI::App& app) : app_(app) {}

  // Later flags stand under this heading in the help.
  void heading(std::string title) { heading_ = std::move(title); }

  Flag text(const std::string& names, const std::string& unit, std::string& target, const std::string& help);
  Flag text(const std::string& names, const std::string& unit, std::optional<std::string>& target,
            const std::string& help);
  Flag path(const std::string& names, const std::string& unit, std::filesystem::path& target, const std::string& help);
  // With or without a path: an empty one then.
  Flag optional_path(const std::string& names, const std::string& unit, std::optional<std::filesystem::path>& target,
                     const std::string& help);
  // One value each time that the flag is given.
  Flag texts(const std::string& names, const std::string& unit, std::vector<std::string>& target,
             const std::string& help);
  Flag flag(const std::string& names, bool& target, const std::string& help);
  // Sets `target` to `value`.
  Flag flag(const std::string& names, bool& target, bool value, const std::string& help);

  // Whole numbers in [low, high], "32k" = 32768.
  template <typename Target>
  Flag count(const std::string& names, const std::string& unit, Target& target, std::int64_t low, std::int64_t high,
             const std::string& help) {
    return one(names, unit, help, [&target, low, high](const std::string& flag, const std::string& text) {
      assign(target, parse_count(flag, text, low, high));
    });
  }
  // A list of them, "0,4096,16k".
  Flag counts(const std::string& names, const std::string& unit, std::vector<std::int64_t>& target, std::int64_t low,
              std::int64_t high, const std::string& help);
  // Finite numbers in [low, high].
  Flag number(const std::string& names, const std::string& unit, std::optional<float>& target, double low, double high,
              const std::string& help);
  Flag number(const std::string& names, const std::string& unit, double& target, double low, double high,
              const std::string& help);
  Flag number(const std::string& names, const std::string& unit, std::optional<double>& target, double low, double high,
              const std::string& help);
  // Bytes, "8G".
  Flag bytes(const std::string& names, const std::string& unit, std::int64_t& target, const std::string& help);

 private:
  using Convert = std::function<void(const std::string& flag, const std::string& text)>;

  Flag one(const std::string& names, const std::string& unit, const std::string& help, Convert convert);

  template <std::integral T>
  static void assign(T& target, std::int64_t value) {
    target = static_cast<T>(value);
  }
  template <std::integral T>
  static void assign(std::optional<T>& target, std::int64_t value) {
    target = static_cast<T>(value);
  }

  CLI::App& app_;
  std::string heading_;
};

}  // namespace precis
