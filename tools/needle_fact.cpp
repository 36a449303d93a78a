#include "needle_fact.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace precis {

namespace {

constexpr std::array kFirstNames = {
    "Agnes",  "Boris",   "Bruno",   "Celia",  "Cora",  "Cyril",  "Dennis", "Edith", "Elena", "Fergus", "George",
    "Harold", "Henry",   "Hugo",    "Isabel", "Jack",  "Jasper", "Julia",  "Karla", "Kevin", "Kira",   "Leon",
    "Louis",  "Lydia",   "Mabel",   "Nigel",  "Nina",  "Nora",   "Oscar",  "Owen",  "Penny", "Peter",  "Polly",
    "Quinn",  "Queenie", "Ralph",   "Rosa",   "Sofia", "Tara",   "Theo",   "Una",   "Vera",  "Victor", "Violet",
    "Walter", "Wanda",   "Winston", "Xavier", "Xenia", "Yusuf",  "Yvonne", "Zelda"};
constexpr std::array kLastNames = {
    "Abbott", "Archer",  "Barlow",   "Bishop",  "Cooper",  "Crane",   "Dalton", "Dixon",    "Draper", "Eldridge",
    "Ellis",  "Falcon",  "Fisher",   "Foster",  "Gardner", "Goodwin", "Harper", "Hunter",   "Ingram", "Irwin",
    "Keller", "Kendall", "Knight",   "Mason",   "Miller",  "Morton",  "Newman", "Norris",   "Ogden",  "Osborn",
    "Palmer", "Porter",  "Prescott", "Quill",   "Radley",  "Reed",    "Sawyer", "Sinclair", "Tanner", "Underhill",
    "Upton",  "Usher",   "Vaughn",   "Vickers", "Walker",  "Young"};

// Of ten facts so many are of each of fact_kinds().
constexpr std::array<std::size_t, 5> kShares = {5, 2, 1, 1, 1};
constexpr int kMostAttempts = 10'000;

}  // namespace

std::uint64_t Draw::bits() {
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t value = state_;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

std::uint64_t seed_of(std::span<const std::uint64_t> parts) {
  std::uint64_t seed = 0;
  for (const std::uint64_t part : parts) seed = Draw(seed ^ part).bits();
  return seed;
}

const std::vector<FactKind>& fact_kinds() {
  static const std::vector<FactKind> kinds = {
      {"secret code", "secret codes", 5},
      {"room number", "room numbers", 3},
      {"favourite colour",
       "favourite colours",
       0,
       {"blue", "crimson", "gold", "green", "pink", "purple", "red", "scarlet", "turquoise", "violet", "yellow"}},
      {"pet", "pets", 0, {"duck", "frog", "hedgehog", "pony", "raven", "sheep"}},
      {"home town", "home towns", 0, {"Cairo", "Havana", "Kyoto", "Lima", "Prague"}}};
  return kinds;
}

Fact FactMaker::any() {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    std::size_t place = draw_.below(10);
    std::size_t kind = 0;
    while (place >= kShares[kind]) place -= kShares[kind++];
    std::string value = fresh_value(kind);
    if (!value.empty()) return with_value(kind, std::move(value));
  }
  throw std::runtime_error("--needles: there are no more values to plant");
}

Fact FactMaker::code() {
  std::string value = fresh_value(0);
  if (value.empty()) throw std::runtime_error("--needles: there are no more codes to plant");
  return with_value(0, std::move(value));
}

Fact FactMaker::with_value(std::size_t kind, std::string value) {
  Fact fact{kind, fresh_person(), std::move(value), ""};
  const std::string_view what = fact_kinds()[kind].name;
  const std::array forms = {fmt::format("The {} of {} is {}.", what, fact.person, fact.value),
                            fmt::format("{}'s {} is {}.", fact.person, what, fact.value),
                            fmt::format("Remember that the {} of {} is {}.", what, fact.person, fact.value),
                            fmt::format("Everyone knows that the {} of {} is {}.", what, fact.person, fact.value)};
  fact.sentence = forms[draw_.below(forms.size())];
  return fact;
}

std::string FactMaker::question(const Fact& fact) {
  const std::string_view what = fact_kinds()[fact.kind].name;
  const std::array forms = {fmt::format("What is the {} of {}?", what, fact.person),
                            fmt::format("What is {}'s {}?", fact.person, what),
                            fmt::format("Tell me the {} of {}.", what, fact.person),
                            fmt::format("Do you know the {} of {}?", what, fact.person)};
  return forms[draw_.below(forms.size())];
}

std::string FactMaker::fresh_person() {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const std::string_view first = kFirstNames[draw_.below(kFirstNames.size())];
    std::string person = fmt::format("{} {}", first, kLastNames[draw_.below(kLastNames.size())]);
    if (text_.find(person) == std::string_view::npos && people_.insert(person).second) return person;
  }
  throw std::runtime_error("--needles: there are no more people to speak of");
}

// Empty: all words of the kind are taken.
std::string FactMaker::fresh_value(std::size_t kind) {
  const FactKind& values = fact_kinds()[kind];
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string value;
    if (values.digits == 0) {
      value = values.values[draw_.below(values.values.size())];
    } else {
      std::size_t range = 1;
      for (int digit = 0; digit < values.digits; ++digit) range *= 10;
      value = fmt::format("{:0{}}", draw_.below(range), values.digits);
    }
    if (values_.insert(fmt::format("{} {}", kind, value)).second) return value;
  }
  return "";
}

std::string question_for_all(std::span<const Fact> facts) {
  const FactKind& kind = fact_kinds()[facts.front().kind];
  if (facts.size() == 1) return fmt::format("What is the {} of {}?", kind.name, facts.front().person);
  std::string people = facts.front().person;
  for (std::size_t at = 1; at < facts.size(); ++at) {
    people += (at + 1 == facts.size() ? " and " : ", ") + facts[at].person;
  }
  return fmt::format("What are the {} of {}?", kind.plural, people);
}

}  // namespace precis
