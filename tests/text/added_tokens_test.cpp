#include "text/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace precis {
namespace {

AddedToken token(std::int32_t id, std::string content, bool special = true) {
  AddedToken made;
  made.id = id;
  made.content = std::move(content);
  made.special = special;
  return made;
}

std::string shown(const std::vector<AddedTokens::Match>& matches) {
  std::string text;
  for (const auto& match : matches) text += fmt::format("{}[{},{}) ", match.id, match.range.begin, match.range.end);
  return text;
}

std::string found(const AddedTokens& tokens, std::string_view text) {
  const TextRange whole = {0, text.size()};
  return shown(tokens.find(text, std::span(&whole, 1)));
}

TEST(AddedTokens, LeftmostThenLongest) {
  const std::vector<AddedToken> list = {token(1, "<a>"), token(2, "<a><b>"), token(3, "b>")};
  const AddedTokens tokens(list);
  EXPECT_EQ(found(tokens, "<a><b>"), "2[0,6) ");
  EXPECT_EQ(found(tokens, "<a><b"), "1[0,3) ");
  EXPECT_EQ(found(tokens, "x<b><a>"), "3[2,4) 1[4,7) ");
  EXPECT_EQ(found(tokens, ""), "");
}

TEST(AddedTokens, SpecialOnesCountWhereTheTextIsTrusted) {
  const std::vector<AddedToken> list = {token(1, "<s>"), token(2, "<t>", false)};
  const AddedTokens tokens(list);
  EXPECT_EQ(shown(tokens.find("<s><t><s>", {})), "2[3,6) ");
  const std::vector<TextRange> trusted = {{6, 9}};
  EXPECT_EQ(shown(tokens.find("<s><t><s>", trusted)), "2[3,6) 1[6,9) ");
  const std::vector<TextRange> half = {{0, 2}, {4, 9}};  // "<s" and the rest
  EXPECT_EQ(shown(tokens.find("<s>x<s>", half)), "1[4,7) ");
}

// The user's text ends with the beginning of a special token, which trusted text goes on with a real one.
TEST(AddedTokens, ATokenSpelledHalfByTheUserHidesNone) {
  const std::vector<AddedToken> list = {token(1, "<<s>"), token(2, "<s>")};
  const AddedTokens tokens(list);
  const std::vector<TextRange> trusted = {{1, 4}};
  EXPECT_EQ(shown(tokens.find("<<s>", trusted)), "2[1,4) ");
}

TEST(AddedTokens, Flags) {
  AddedToken left = token(1, "<l>");
  left.lstrip = true;
  AddedToken right = token(2, "<r>");
  right.rstrip = true;
  AddedToken word = token(3, "word");
  word.single_word = true;
  const std::vector<AddedToken> list = {left, right, word};
  const AddedTokens tokens(list);
  EXPECT_EQ(found(tokens, "a \u3000<l> b"), "1[1,8) ");
  EXPECT_EQ(found(tokens, "a <r> \n b"), "2[2,8) ");
  EXPECT_EQ(found(tokens, "<r> <l>"), "2[0,4) 1[4,7) ");
  EXPECT_EQ(found(tokens, "word sword wordy word_ éword -word-"), "3[0,4) 3[31,35) ");
}

}  // namespace
}  // namespace precis
