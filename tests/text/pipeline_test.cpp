// The parts of a tokenizer.json one by one: normalizer, pre_tokenizer, decoder. Expected values follow the sources of
// Hugging Face's tokenizers 0.23.
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"

namespace precis {
namespace {

using Parts = std::vector<std::string>;

JsonView json(const char* text) {
  return JsonView::parse(text, "test");
}

std::string normalized_by(const char* normalizer, std::string text) {
  return Normalizer(json(normalizer)).apply(std::move(text));
}

Parts split_by(const char* pre_tokenizer, std::string text, bool at_start = true) {
  const WordList list = PreTokenizer(json(pre_tokenizer)).split(std::move(text), at_start);
  Parts parts;
  for (const TextRange& word : list.words) parts.push_back(list.text.substr(word.begin, word.end - word.begin));
  return parts;
}

void expect_contains(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Normalizer, UnicodeForms) {
  EXPECT_EQ(normalized_by(R"({"type":"NFC"})", "e\u0301 A\u030A \u212B"), "é Å Å");
  EXPECT_EQ(normalized_by(R"({"type":"NFD"})", "é"), "e\u0301");
  EXPECT_EQ(normalized_by(R"({"type":"NFKC"})", "ﬁ½²"), "fi1\u204422");
  EXPECT_EQ(normalized_by(R"({"type":"NFKD"})", "ﬁé"), "fie\u0301");
  EXPECT_EQ(normalized_by(R"({"type":"NFC"})", "a\u0301\u0323"), "ạ\u0301");  // marks in canonical order
  EXPECT_EQ(normalized_by(R"({"type":"NFC"})", "\u1100\u1161\u11A8"), "각");
  EXPECT_EQ(normalized_by(R"({"type":"NFC"})", "ﬁ plain"), "ﬁ plain");
}

TEST(Normalizer, SequencesOfReplacements) {
  const char* llama = R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
      {"type":"Replace","pattern":{"String":" "},"content":"▁"}]})";
  EXPECT_EQ(normalized_by(llama, "a  b"), "▁a▁▁b");
  EXPECT_EQ(normalized_by(llama, ""), "");
  EXPECT_EQ(normalized_by(R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":"_"})", " a \n b"), "_a_b");
  EXPECT_EQ(normalized_by(R"({"type":"Strip","strip_left":true,"strip_right":false})", "  a  "), "a  ");
  EXPECT_EQ(normalized_by(R"({"type":"Strip","strip_left":false,"strip_right":true})", "  a  "), "  a");
  EXPECT_EQ(normalized_by(R"({"type":"Strip","strip_left":true,"strip_right":true})", " \n "), "");
}

TEST(PreTokenizer, SplitBehaviours) {
  const auto split = [](const char* behavior, const char* invert) {
    return split_by(
        fmt::format(R"({{"type":"Split","pattern":{{"String":"-"}},"behavior":"{}","invert":{}}})", behavior, invert)
            .c_str(),
        "the-final--countdown");
  };
  EXPECT_EQ(split("Removed", "false"), (Parts{"the", "final", "countdown"}));
  EXPECT_EQ(split("Isolated", "false"), (Parts{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split("MergedWithPrevious", "false"), (Parts{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split("MergedWithNext", "false"), (Parts{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split("Contiguous", "false"), (Parts{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split("Removed", "true"), (Parts{"-", "-", "-"}));
}

TEST(PreTokenizer, ByteLevel) {
  EXPECT_EQ(split_by(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})", "I'm  12 ok!\n"),
            (Parts{"I", "'m", " ", " 12", " ok", "!", "\n"}));
  EXPECT_EQ(split_by(R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":false})", "a b"), Parts{" a b"});
  EXPECT_EQ(split_by(R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":true})", " a"), Parts{" a"});
  EXPECT_TRUE(PreTokenizer(json(R"({"type":"ByteLevel"})")).byte_level());
}

TEST(PreTokenizer, DigitsAndSequences) {
  EXPECT_EQ(split_by(R"({"type":"Digits","individual_digits":true})", "ab123"), (Parts{"ab", "1", "2", "3"}));
  EXPECT_EQ(split_by(R"({"type":"Digits","individual_digits":false})", "ab123c"), (Parts{"ab", "123", "c"}));
  EXPECT_EQ(split_by(R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]})",
                     "x 12 y"),
            (Parts{"x", " ", "1", "2", " y"}));
}

TEST(PreTokenizer, Metaspace) {
  const char* always = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";
  const char* first = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false})";
  const char* never = R"({"type":"Metaspace","replacement":"▁","add_prefix_space":false,"split":false})";
  EXPECT_EQ(split_by(always, "a  b"), (Parts{"▁a", "▁", "▁b"}));
  EXPECT_EQ(split_by(always, " a"), Parts{"▁a"});
  EXPECT_EQ(split_by(first, "a b"), Parts{"▁a▁b"});
  EXPECT_EQ(split_by(first, "a b", false), Parts{"a▁b"});
  EXPECT_EQ(split_by(never, "a b"), Parts{"a▁b"});
}

TEST(TokenDecoder, StripsTheDummySpaceOfTheFirstTokenOnly) {
  const TokenDecoder decoder(json(R"({"type":"Sequence","decoders":[
      {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
      {"type":"Strip","content":" ","start":1,"stop":0}]})"));
  EXPECT_EQ(decoder.bytes("▁▁a", true), " a");
  EXPECT_EQ(decoder.bytes("▁a", false), " a");
  EXPECT_EQ(decoder.bytes("<0xE4>", false), "\xE4");
  EXPECT_EQ(decoder.bytes("<0xZZ>", false), "<0xZZ>");
}

TEST(TokenDecoder, ByteLevelLeavesOtherTokensAsTheyAre) {
  const TokenDecoder decoder(json(R"({"type":"ByteLevel"})"));
  EXPECT_EQ(decoder.bytes("Ġé", false), " \xE9");
  EXPECT_EQ(decoder.bytes("你好", false), "你好");
  EXPECT_EQ(decoder.bytes("a b", false), "a b");
}

TEST(Pipeline, TheUnknownIsRefusedByName) {
  const auto message = [](auto&& work) -> std::string {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  expect_contains(message([] { Normalizer(json(R"({"type":"Lowercase"})")); }), "test: type: expected NFC");
  expect_contains(message([] { PreTokenizer(json(R"({"type":"BertPreTokenizer"})")); }), "BertPreTokenizer");
  expect_contains(message([] { TokenDecoder(json(R"({"type":"WordPiece"})")); }), "WordPiece");
  expect_contains(
      message([] {
        PreTokenizer(json(R"({"type":"Split","pattern":{"Regex":"a{1,2}+"},"behavior":"Isolated","invert":false})"));
      }),
      "test: pattern.Regex: ");
}

}  // namespace
}  // namespace precis
