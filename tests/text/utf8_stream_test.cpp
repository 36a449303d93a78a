#include "text/utf8_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "support/tokenizer_files.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace precis {
namespace {

class Utf8StreamTest : public testing::TestWithParam<const char*> {};

// Any ids at all, broken characters and special tokens among them.
TEST_P(Utf8StreamTest, RandomIdsJoinToTheDecodedTextAndPiecesAreUtf8) {
  const auto tokenizer = open_named(GetParam());
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 40; ++i) {
      // The single bytes are among the first ids of every vocabulary here.
      const std::int32_t most = round % 2 == 0 ? tokenizer->vocab_size() + 10 : 400;
      ids.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(most)) - 1);
    }
    for (const bool skip_special : {false, true}) {
      Utf8Stream stream(*tokenizer, skip_special);
      std::string joined;
      std::string bytes;
      bool first = true;
      for (const std::int32_t id : ids) {
        const std::string piece = stream.push(id);
        ASSERT_TRUE(is_utf8(piece));
        joined += piece;
        if (id < 0 || id >= tokenizer->vocab_size() || (skip_special && tokenizer->is_special(id))) continue;
        bytes += tokenizer->token_bytes(id, first);
        first = false;
      }
      const std::string last = stream.finish();
      ASSERT_TRUE(last == "" || last == "\uFFFD");
      ASSERT_EQ(joined + last, tokenizer->decode(ids, skip_special));
      ASSERT_EQ(joined + last, to_utf8(bytes));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Utf8StreamTest, testing::Values("demo", "gpt2"));

TEST(Utf8Stream, HoldsACharacterUntilItIsWhole) {
  const auto tokenizer = open_named("demo");
  const auto byte = [](int value) { return 5 + value; };  // <0x00> is id 5
  Utf8Stream stream(*tokenizer, true);
  EXPECT_EQ(stream.push(byte(0xF0)), "");
  EXPECT_EQ(stream.push(byte(0x9F)), "");
  EXPECT_EQ(stream.push(byte(0x91)), "");
  EXPECT_EQ(stream.push(byte(0x8D)), "\U0001F44D");
  EXPECT_EQ(stream.push(byte(0xE4)), "");
  EXPECT_EQ(stream.push(byte('a')), "\uFFFDa");
  EXPECT_EQ(stream.push(byte(0xE4)), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, TheDummySpaceGoesAtTheStartOfATextOnly) {
  const auto tokenizer = open_named("demo");
  const std::vector<std::int32_t> ids = tokenizer->encode("hello", {.add_bos = true});
  EXPECT_EQ(tokenizer->decode(ids, true), "hello");
  Utf8Stream rest(*tokenizer, true, Utf8Stream::Start::continuation);
  std::string text;
  for (const std::int32_t id : ids) text += rest.push(id);
  EXPECT_EQ(text, " hello");
}

}  // namespace
}  // namespace precis
