#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace precis {
namespace {

std::vector<std::string> found(const char* pattern, const std::string& text) {
  std::vector<std::string> parts;
  for (const TextRange& range : Regex(pattern).matches(text)) {
    parts.push_back(text.substr(range.begin, range.end - range.begin));
  }
  return parts;
}

using Parts = std::vector<std::string>;

TEST(Regex, ClassesAreUnicode) {
  EXPECT_EQ(found("\\p{L}+", "aé 中ь1"), (Parts{"aé", "中ь"}));
  EXPECT_EQ(found("\\s+", "a\u00A0\u3000b\u0085c"), (Parts{"\u00A0\u3000", "\u0085"}));
  EXPECT_EQ(found("(?i:'s)", "'S's'ſ"), (Parts{"'S", "'s", "'ſ"}));
}

// PCRE2 alone would take U+180E for white space; Unicode and Oniguruma do not.
TEST(Regex, MongolianVowelSeparatorIsNoSpace) {
  EXPECT_EQ(found("\\s", "\u180E"), Parts{});
  EXPECT_EQ(found("[^\\s]", "\u180E"), Parts{"\u180E"});
  EXPECT_EQ(found("\\S", "\u180E "), Parts{"\u180E"});
}

TEST(Regex, LookaheadSeesTheWholeText) {
  EXPECT_EQ(found("\\s+(?!\\S)|\\s+", "a   b  "), (Parts{"  ", " ", "  "}));
}

TEST(Regex, EmptyMatchesMoveOn) {
  EXPECT_EQ(Regex("x*").matches("aé").size(), 3u);
  EXPECT_EQ(Regex("x*").matches("").size(), 1u);
}

TEST(Regex, WhatRubyReadsOtherwiseIsRefused) {
  for (const char* pattern :
       {"\\p{N}{1,3}+", "[a[bc]]", "[a-z&&b]", "\\R", "\\X", "(?m:.)", "(?<name>a)", "\\", "(", "[a"}) {
    EXPECT_THROW(Regex{pattern}, Error) << pattern;
  }
  EXPECT_EQ(pcre2_pattern("\\p{L}+[^\\h]"), "\\p{L}+[^0-9a-fA-F]");
}

TEST(Regex, EndlessBacktrackingIsAnError) {
  EXPECT_THROW(Regex("(?:a|aa)+[bc]").matches(std::string(4000, 'a')), Error);
}

TEST(Regex, DeepMatchesGetTheStackTheyNeed) {
  EXPECT_EQ(found("(?:a|b)+c", std::string(500'000, 'a') + "c").size(), 1u);
}

}  // namespace
}  // namespace precis
