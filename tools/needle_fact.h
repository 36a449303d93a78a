// Facts to be planted in a text and asked for, the same for a seed on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// SplitMix64: random choices that the standard's distributions would make otherwise on each machine.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits();
  // From 0 to count - 1.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(bits() % count); }

 private:
  std::uint64_t state_;
};

// A seed for what `parts` name, of which each counts.
std::uint64_t seed_of(std::span<const std::uint64_t> parts);

// What a fact is about: "secret code", of which a document may have several, each of another person.
struct FactKind {
  std::string_view name;
  std::string_view plural;
  int digits = 0;                             // a number of so many digits, or
  std::vector<std::string_view> values = {};  // one of these
};
const std::vector<FactKind>& fact_kinds();

struct Fact {
  std::size_t kind = 0;  // of fact_kinds()
  std::string person;
  std::string value;
  std::string sentence;  // "Remember that the secret code of Ann Lee is 12345."
};

// Facts of one document: no two are about the same person, or of one kind with the same value. Kinds, forms and
// questions are those that the demo models were taught; other models understand them too.
class FactMaker {
 public:
  // Nobody whom `text` names is spoken of. `text` stays the caller's.
  FactMaker(std::uint64_t seed, std::string_view text) : draw_(seed), text_(text) {}

  // Of any kind, numbers more often than words. Throws std::runtime_error when people or values have run out.
  Fact any();
  // A secret code.
  Fact code();
  // Asks for `fact` alone.
  std::string question(const Fact& fact);

  Draw& draw() { return draw_; }

 private:
  Fact with_value(std::size_t kind, std::string value);
  std::string fresh_person();
  std::string fresh_value(std::size_t kind);

  Draw draw_;
  std::string_view text_;
  std::set<std::string> people_;
  std::set<std::string> values_;
};

// Asks for all of them at once; all are of the same kind. "What are the secret codes of Ann Lee and Bob Ray?"
std::string question_for_all(std::span<const Fact> facts);

}  // namespace precis
