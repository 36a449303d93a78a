// What precis eval needle is made of: facts, places, verdicts, table, picture.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "needle_document.h"
#include "needle_fact.h"
#include "needle_result.h"
#include "needle_text.h"
#include "needle_verdict.h"
#include "position_ranges.h"
#include "support/random.h"
#include "tools/markup.h"

namespace precis::test {
namespace {

using Texts = std::vector<std::string>;

TEST(NeedleFactTest, ASeedGivesTheSameFactsEverywhere) {
  FactMaker maker(7, "");
  std::string text;
  for (int at = 0; at < 5; ++at) {
    const Fact fact = maker.any();
    text += fact.sentence + " " + maker.question(fact) + "\n";
  }
  text += maker.code().sentence;
  EXPECT_EQ(text,
            "Remember that the favourite colour of Louis Kendall is blue. What is Louis Kendall's favourite colour?\n"
            "Everyone knows that the pet of Quinn Dixon is duck. What is the pet of Quinn Dixon?\n"
            "Everyone knows that the secret code of Winston Abbott is 39344. Do you know the secret code of Winston "
            "Abbott?\n"
            "Ralph Reed's favourite colour is red. Do you know the favourite colour of Ralph Reed?\n"
            "Everyone knows that the secret code of Winston Archer is 96905. What is Winston Archer's secret code?\n"
            "Remember that the secret code of Oscar Newman is 86232.");
  const std::array<std::uint64_t, 3> parts = {1, 2, 3};
  const std::array<std::uint64_t, 3> others = {1, 3, 2};
  EXPECT_NE(seed_of(parts), seed_of(others));
}

TEST(NeedleFactTest, NoPersonAndNoValueComesTwice) {
  FactMaker first(3, "");
  const std::string known = first.any().person;
  const std::string text = fmt::format("Once {} came by.", known);
  FactMaker maker(3, text);
  std::set<std::string> people;
  std::set<std::string> values;
  for (int at = 0; at < 300; ++at) {
    const Fact fact = maker.any();
    EXPECT_NE(fact.person, known);
    EXPECT_TRUE(people.insert(fact.person).second) << fact.person;
    EXPECT_TRUE(values.insert(fmt::format("{} {}", fact.kind, fact.value)).second) << fact.value;
    EXPECT_NE(fact.sentence.find(fmt::format("{}.", fact.value)), std::string::npos);
    EXPECT_NE(maker.question(fact).find(fact.person), std::string::npos);
  }
}

TEST(NeedleFactTest, AllAreAskedForInOneSentence) {
  const std::vector<Fact> facts = {{0, "Ann Lee", "1", ""}, {0, "Bob Ray", "2", ""}, {0, "Cy Fox", "3", ""}};
  EXPECT_EQ(question_for_all(facts), "What are the secret codes of Ann Lee, Bob Ray and Cy Fox?");
  EXPECT_EQ(question_for_all(std::span(facts).first(1)), "What is the secret code of Ann Lee?");
}

Fact said(const std::string& sentence) {
  return {0, "", "", sentence};
}

TEST(NeedleTextTest, SentencesAndLinesAreItsPieces) {
  const auto pieces = [](const std::string& text) { return NeedleText({text}).pieces(); };
  EXPECT_EQ(pieces(""), 0u);
  EXPECT_EQ(pieces(" \n "), 0u);
  EXPECT_EQ(pieces("no mark"), 1u);
  EXPECT_EQ(pieces("One. Two! \"Three?\" Four"), 4u);
  EXPECT_EQ(pieces("Mr. Darcy met J. Bell at St. Ives."), 1u);
  EXPECT_EQ(pieces("CHAPTER I\n\nA line that\nis broken."), 2u);
  EXPECT_EQ(NeedleText({"One.", "\xEF\xBB\xBFTwo.\r\n"}).all(), "One.\n\nTwo.\n\n");
}

TEST(NeedleTextTest, FactsStandOnLinesOfTheirOwn) {
  const NeedleText text({"Aa. Bb.\n\nCc."});
  std::vector<PlantedFact> facts = {{said("Z."), 0}, {said("Y."), 100}, {said("X."), 40}, {said("W."), 60}};
  EXPECT_EQ(text.plant(0, 3, facts), "Z.\nAa.\nX.\nBb.\nW.\n\nCc.\nY.");
  EXPECT_EQ(facts[0].depth, 0);
  EXPECT_EQ(facts[1].depth, 100);
  facts.resize(1);
  EXPECT_EQ(text.plant(2, 2, facts), "Z.\nCc.\n\nAa.") << "behind the end comes the beginning";
}

// Every place is the nearest there is, and taking the facts away leaves the text.
TEST(NeedleTextTest, FactsStandAtTheDepthsAsked) {
  Random random(11);
  std::string source;
  for (int sentence = 0; sentence < 400; ++sentence) {
    source += std::string(static_cast<std::size_t>(random.between(3, 80)), 'a') + (random.chance(0.2) ? ".\n\n" : ". ");
  }
  const NeedleText text({source});
  for (int round = 0; round < 50; ++round) {
    const auto first = static_cast<std::size_t>(random.below(400));
    const auto count = static_cast<std::size_t>(random.between(150, 400));
    std::vector<PlantedFact> facts;
    for (int at = 0; at < 4; ++at) facts.push_back({said(fmt::format("F{}F", at)), 100 * random.unit()});
    const std::string planted = text.plant(first, count, facts);
    std::vector<PlantedFact> none;
    const auto bytes = static_cast<double>(text.plant(first, count, none).size());
    for (const PlantedFact& fact : facts) {
      EXPECT_NEAR(fact.depth, fact.asked_depth, 100 * 42 / bytes);
      const std::size_t at = planted.find(fmt::format("\n{}\n", fact.fact.sentence));
      if (at == std::string::npos) continue;  // the very first or last
      EXPECT_NEAR(100 * static_cast<double>(at) / bytes, fact.depth, 100 * 20 / bytes);
    }
  }
}

TEST(NeedleTextTest, TheLongestStretchThatFitsIsFound) {
  Random random(5);
  std::string source;
  for (int sentence = 0; sentence < 300; ++sentence) {
    source += std::string(static_cast<std::size_t>(random.between(1, 200)), 'b') + ". ";
  }
  const NeedleText text({source});
  std::vector<PlantedFact> none;
  for (int round = 0; round < 30; ++round) {
    const auto first = static_cast<std::size_t>(random.below(300));
    const std::int64_t room = random.between(0, 40'000);
    const auto measure = [&](std::size_t count) {
      return 17 + static_cast<std::int64_t>(text.plant(first, count, none).size());
    };
    const std::size_t count = text.longest(first, room, measure);
    EXPECT_TRUE(count == 0 || measure(count) <= room);
    EXPECT_TRUE(count == text.pieces() || measure(count + 1) > room);
  }
}

TEST(NeedleVerdictTest, WordsAreWhole) {
  EXPECT_TRUE(has_word("The code is 81252.", "81252"));
  EXPECT_TRUE(has_word("\"Scarlet\", she said", "scarlet"));
  EXPECT_TRUE(has_word("It is \xE2\x80\x9CLima\xE2\x80\x9D", "Lima"));
  EXPECT_TRUE(
      has_word("\xE5\xAF\x86\xE7\xA0\x81"
               "81252\xE3\x80\x82",
               "81252"));
  EXPECT_TRUE(has_word("Lima's streets", "Lima"));
  EXPECT_TRUE(has_word("in New York now", "New York"));
  for (const char* text : {"812521", "x81252", "81252x", "81252-7", "81252.5", "3,81252", "81252_", "1-81252",
                           "81252\xC3\xA9", "", "8125"}) {
    EXPECT_FALSE(has_word(text, "81252")) << text;
  }
  EXPECT_FALSE(has_word("anything", ""));
}

TEST(NeedleVerdictTest, ARuleDecides) {
  const auto verdict = [](const std::string& reply, const Texts& answers) { return judge(reply, true, answers); };
  EXPECT_EQ(verdict("It is 81252.", {"81252"}), Verdict::right);
  EXPECT_EQ(judge("It is 81252.", false, {"81252"}), Verdict::cut);
  EXPECT_EQ(verdict("", {"81252"}), Verdict::missing);
  EXPECT_EQ(verdict("It is 81253.", {"81252"}), Verdict::missing);
  EXPECT_EQ(verdict("It is 81252 or 81253.", {"81252"}), Verdict::several);
  EXPECT_EQ(verdict("81252, that is, 81252", {"81252"}), Verdict::right) << "the same twice";
  EXPECT_EQ(verdict("In 1812 it was 81252.", {"81252"}), Verdict::right) << "not as many digits";
  EXPECT_EQ(verdict("red or blue", {"red"}), Verdict::several);
  EXPECT_EQ(verdict("Red, like her pony", {"red"}), Verdict::right) << "another kind";
  EXPECT_EQ(verdict("blue-red", {"red"}), Verdict::missing);
  EXPECT_EQ(verdict("Atlantis or Mu", {"Mu"}), Verdict::right) << "of no kind that is known";
  EXPECT_EQ(verdict("11111 and 22222", {"22222", "11111"}), Verdict::right);
  EXPECT_EQ(verdict("11111 and 33333", {"22222", "11111"}), Verdict::missing);
  EXPECT_EQ(verdict("11111, 22222, 33333", {"22222", "11111"}), Verdict::several);
  EXPECT_TRUE(lists_others("11111 and 33333", {"22222", "11111"}));
}

NeedleResult result(std::int64_t length, double depth, bool right) {
  NeedleResult result;
  result.length = length;
  result.question = {"Who?", {{"x", depth, depth}}};
  result.verdict = right ? Verdict::right : Verdict::missing;
  result.found = {right};
  return result;
}

TEST(NeedleResultTest, ATableCountsItsCases) {
  const NeedleTable table({result(1024, 0, true), result(1024, 0, false), result(500, 50, true)});
  EXPECT_EQ(table.lengths, (std::vector<std::int64_t>{500, 1024}));
  EXPECT_EQ(table.depths, (std::vector<double>{0, 50}));
  EXPECT_EQ(table.cells.at({1024, 0}).percent(), 50);
  EXPECT_EQ(table.cells.count({500, 0}), 0u);
  EXPECT_EQ(table.total.right, 2);
  NeedleReport report;
  report.results = {result(1024, 0, true), result(1024, 0, false), result(500, 50, true)};
  EXPECT_NE(needle_text(report).find("50 % 1/2"), std::string::npos) << needle_text(report);
  EXPECT_NE(needle_text({}).find("all questions: -"), std::string::npos);
}

TEST(NeedleResultTest, JsonHoldsWhateverWasReplied) {
  NeedleReport report;
  report.results = {result(1024, 0, true)};
  report.results[0].reply = "\xFF\n\"";
  const auto json = nlohmann::json::parse(needle_json(report));
  EXPECT_EQ(json["cases"][0]["reply"], "\xEF\xBF\xBD\n\"");
  EXPECT_EQ(json["table"][0]["depths"][0]["asked"], 1);
  EXPECT_TRUE(nlohmann::json::parse(needle_json({}))["cases"].empty());
}

TEST(NeedleResultTest, ThePictureIsWellFormed) {
  NeedleReport report;
  report.options.model = "models/a<b>&\"c\"/";
  expect_markup(needle_svg(report));
  report.results = {result(1024, 0, true), result(2048, 12.5, false)};
  const std::string svg = needle_svg(report);
  expect_markup(svg);
  EXPECT_NE(svg.find("a&lt;b&gt;&amp;&quot;c&quot;"), std::string::npos);
  EXPECT_NE(svg.find("1k tokens, depth 0 %: 1 of 1 right"), std::string::npos);
  EXPECT_NE(svg.find("12.5 %"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(PositionRangesTest, PositionsFallIntoTheirRange) {
  EXPECT_EQ(PositionRanges().of(12), 0u);
  const PositionRanges ranges({4, 8, 16});
  EXPECT_EQ(ranges.count(), 2u);
  EXPECT_EQ(ranges.of(3), std::nullopt);
  EXPECT_EQ(ranges.of(4), 0u);
  EXPECT_EQ(ranges.of(8), 1u);
  EXPECT_EQ(ranges.of(15), 1u);
  EXPECT_EQ(ranges.of(16), std::nullopt);
  EXPECT_THROW(PositionRanges({4}), std::runtime_error);
  EXPECT_THROW(PositionRanges({4, 4}), std::runtime_error);
}

}  // namespace
}  // namespace precis::test
