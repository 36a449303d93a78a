// Guards against quadratic time: a text of n characters may take long on a slow machine, not n / 8 of them times 64.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>

#include "support/tokenizer_files.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace precis {
namespace {

constexpr std::size_t text_bytes = 1'000'000;
// A quadratic step over a million symbols would take minutes; the slowest of these takes a third of a second in a
// release build.
constexpr double limit_s = 30;

std::string repeated(std::string_view unit) {
  std::string text;
  while (text.size() < text_bytes) text += unit;
  return text;
}

double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class LinearTimeLongTest : public testing::TestWithParam<const char*> {};

TEST_P(LinearTimeLongTest, AMillionOfOneCharacter) {
  const auto tokenizer = open_named(GetParam());
  for (const std::string_view unit :
       {"a", "A", " ", "1", "\n", "\t", "-", "<", "é", "中", "\xCC\x81", "ab", "<|", "a ", "\r\n", " \n", "\xFF"}) {
    const std::string text = repeated(unit);
    std::vector<std::int32_t> ids;
    std::string decoded;
    const double encode_s =
        seconds_of([&] { ids = tokenizer->encode(text, {.add_bos = false, .parse_special = true}); });
    const double decode_s = seconds_of([&] { decoded = tokenizer->decode(ids, false); });
    if (unit != "\xFF") {
      EXPECT_EQ(decoded, text);
    }
    EXPECT_LT(encode_s, limit_s) << unit;
    EXPECT_LT(decode_s, limit_s) << unit;
  }
}

// A run of other text before the last character, or behind the first, changes which alternative of a pattern matches.
TEST_P(LinearTimeLongTest, ARunWithAnotherEnd) {
  const auto tokenizer = open_named(GetParam());
  for (const std::string_view unit : {"a", "A", " ", "\n", "!"}) {
    for (const std::string& text : {repeated(unit) + "x", fmt::format("'{}", repeated(unit)), repeated(unit) + "\n."}) {
      std::vector<std::int32_t> ids;
      EXPECT_LT(seconds_of([&] { ids = tokenizer->encode(text, {.add_bos = false}); }), limit_s);
      EXPECT_EQ(tokenizer->decode(ids, false), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, LinearTimeLongTest,
                         testing::Values("qwen3", "gpt2", "mistral-nemo", "gpt2-llama3-split", "mistral-7b-v0.1",
                                         "mistral-7b-v0.3", "demo"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) {
                             if (c == '-' || c == '.') c = '_';
                           }
                           return name;
                         });

// Marks of falling combining class: sorting by exchange would need n * n / 4 steps.
TEST(NormalisationTime, AMillionBytesOfUnorderedMarks) {
  const std::string above = repeated("\xCC\x81");
  const std::string below = repeated("\xCC\xA3");
  std::string text;
  EXPECT_LT(seconds_of([&] { text = normalized(fmt::format("a{}{}", above, below), NormalForm::nfc); }), limit_s);
  EXPECT_EQ(text.substr(0, 5), "\xE1\xBA\xA1\xCC\xA3");  // a with dot below, then the other dots
}

}  // namespace
}  // namespace precis
