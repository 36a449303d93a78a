#include "text/utf8.h"

#include <gtest/gtest.h>

#include <set>

#include "text/byte_level.h"

namespace precis {
namespace {

TEST(Utf8, BrokenSequencesBecomeOneReplacementPerMaximalPart) {
  // What Python's bytes.decode(errors="replace") gives.
  EXPECT_EQ(to_utf8("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(to_utf8("\xE4\xB8"), "\uFFFD");
  EXPECT_EQ(to_utf8("\xE4\xB8z"), "\uFFFDz");
  EXPECT_EQ(to_utf8("\xF0\x9F\x91z"), "\uFFFDz");
  EXPECT_EQ(to_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // a surrogate
  EXPECT_EQ(to_utf8("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(to_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
  EXPECT_EQ(to_utf8("\x80\x80"), "\uFFFD\uFFFD");
}

TEST(Utf8, EveryCharacterGoesThereAndBack) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = first_char(text);
    ASSERT_EQ(c.state, Utf8Char::State::valid);
    ASSERT_TRUE(c.code == code) << text;
    ASSERT_EQ(c.length, text.size());
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(first_char(text.substr(0, cut)).state, Utf8Char::State::incomplete);
    }
  }
}

TEST(Utf8, TrimsUnicodeWhiteSpace) {
  EXPECT_EQ(trimmed("\u3000 \n a b\u00A0\t"), "a b");
  EXPECT_EQ(trimmed(" \n"), "");
  EXPECT_EQ(trimmed(""), "");
  EXPECT_EQ(trimmed("\u180Ea"), "\u180Ea");  // no white space since Unicode 6.3
}

TEST(Utf8, QuotesOnOneLine) {
  EXPECT_EQ(in_quotes("a\nb\x01\xFF"), "'a\\x0ab\\x01\\xff'");
  EXPECT_LT(in_quotes(std::string(500, 'x')).size(), 80u);
}

TEST(ByteLevel, IsATableOf256DifferentPrintableCharacters) {
  std::set<char32_t> seen;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = byte_level_char(static_cast<std::uint8_t>(byte));
    EXPECT_TRUE(seen.insert(c).second) << byte;
    std::string token;
    append_utf8(token, c);
    EXPECT_EQ(byte_level_bytes(token), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(byte_level_token(" a\n\xC3\xA9"), "ĠaĊÃ©");
  EXPECT_EQ(byte_level_bytes("中"), std::nullopt);
  EXPECT_EQ(byte_level_bytes("a b"), std::nullopt);
}

}  // namespace
}  // namespace precis
