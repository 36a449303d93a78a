// Files that are broken, contradict themselves, or ask for something unknown: each a one-line Error that names the
// place.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "support/tokenizer_files.h"

namespace precis {
namespace {

using nlohmann::json;

json good_tokenizer() {
  return json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true, "normalized": false}],
    "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"}, "post_processor": null,
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]}})");
}

void expect_refused(const ScratchFolder& folder, const std::string& part) {
  try {
    folder.open();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 600u) << message;
  }
}

struct Change {
  const char* path;   // JSON pointer; "" for the whole document
  const char* value;  // JSON
  const char* message;
};

class MalformedTokenizerJson : public testing::TestWithParam<Change> {};

TEST_P(MalformedTokenizerJson, IsRefused) {
  json document = good_tokenizer();
  document[json::json_pointer(GetParam().path)] = json::parse(GetParam().value);
  const ScratchFolder folder;
  folder.write("tokenizer.json", document.dump());
  expect_refused(folder, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedTokenizerJson,
    testing::Values(
        Change{"", "[]", "expected an object"}, Change{"", "{}", "missing"}, Change{"", "null", "tokenizer.json"},
        Change{"/model", "3", "model"}, Change{"/model/type", "\"Unigram\"", "model.type: expected BPE"},
        Change{"/model/type", "\"WordPiece\"", "WordPiece"}, Change{"/model/vocab", "[\"a\"]", "model.vocab"},
        Change{"/model/vocab", "{}", "model.unk_token"}, Change{"/model/vocab/a", "-1", "'a'"},
        Change{"/model/vocab/a", "1e9", "'a'"}, Change{"/model/vocab/a", "99999999999", "'a'"},
        Change{"/model/vocab/a", "\"1\"", "'a'"}, Change{"/model/vocab/a", "1.5", "'a'"},
        Change{"/model/vocab/a", "2", "id 2"}, Change{"/model/vocab/c\nd", "\"x\"", "c\\x0ad"},
        Change{"/model/merges", "{}", "model.merges"},
        Change{"/model/merges/0", "\"a c\"", "'c' is not in the vocabulary"},
        Change{"/model/merges/0", "\"b a\"", "'ba' is not in the vocabulary"},
        Change{"/model/merges/0", "\"ab\"", "model.merges[0]"},
        Change{"/model/merges/0", "\"a b b\"", "model.merges[0]"},
        Change{"/model/merges/0", "[\"a\"]", "model.merges[0]"},
        Change{"/model/merges/0", "[\"a\", 3]", "model.merges[0]"},
        Change{"/model/merges/0", "[\"\", \"a\"]", "model.merges[0]"},
        Change{"/model/merges/0", "7", "model.merges[0]"}, Change{"/model/unk_token", "\"none\"", "model.unk_token"},
        Change{"/model/dropout", "0.1", "model.dropout"}, Change{"/model/byte_fallback", "1", "model.byte_fallback"},
        Change{"/model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix"},
        Change{"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
        Change{"/added_tokens", "{}", "added_tokens"}, Change{"/added_tokens/0/id", "-4", "added_tokens[0].id"},
        Change{"/added_tokens/0/id", "4194304", "added_tokens[0].id"}, Change{"/added_tokens/0/id", "1", "'<s>'"},
        Change{"/added_tokens/0/content", "\"\"", "added_tokens[0].content"},
        Change{"/added_tokens/0/content", "\"a\"", "'a'"},
        Change{"/added_tokens/0/special", "0", "added_tokens[0].special"},
        Change{"/added_tokens/1", R"({"id": 4, "content": "x"})", "added_tokens[1].id"},
        Change{"/added_tokens/1", R"({"id": 5, "content": "<s>"})", "added_tokens[1].content"},
        Change{"/normalizer", R"({"type": "Lowercase"})", "normalizer.type"},
        Change{"/normalizer", R"({"type": "Sequence", "normalizers": 3})", "normalizer.normalizers"},
        Change{"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})", "pattern.String"},
        Change{"/pre_tokenizer", R"({"type": "Whitespace"})", "pre_tokenizer.type"},
        Change{"/pre_tokenizer",
               R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false})",
               "pre_tokenizer.pattern.Regex"},
        Change{"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd", "invert": false})",
               "pre_tokenizer.behavior"},
        Change{"/pre_tokenizer", R"({"type": "ByteLevel"})", "decoder"},
        Change{"/decoder", R"({"type": "WordPiece"})", "decoder.type"}, Change{"/decoder", "null", "decoder"},
        Change{"/post_processor", R"({"type": "BertProcessing"})", "post_processor.type"},
        Change{"/post_processor", R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<q>\n"}}],
                                      "special_tokens": {}})",
               "special_tokens"},
        Change{"/post_processor", R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "q"}}],
                                      "special_tokens": {"q": {"ids": [77]}}})",
               "77"}));

TEST(MalformedTokenizer, TheUnchangedOneOpens) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", good_tokenizer().dump());
  EXPECT_EQ(folder.open()->encode("ab").size(), 1u);
}

TEST(MalformedTokenizer, ASpecialTokenThatTheNormalizerChanges) {
  json document = good_tokenizer();
  document["added_tokens"][0]["normalized"] = true;
  document["normalizer"] = {{"type", "Prepend"}, {"prepend", "_"}};
  const ScratchFolder folder;
  folder.write("tokenizer.json", document.dump());
  expect_refused(folder, "'<s>' is special and changed by the normalizer");
}

TEST(MalformedTokenizer, FilesThatAreNoJson) {
  const ScratchFolder folder;
  expect_refused(folder, "no tokenizer.json and no tokenizer.model");
  folder.write("tokenizer.json", "");
  expect_refused(folder, "not valid JSON");
  const std::string text = good_tokenizer().dump();
  folder.write("tokenizer.json", text.substr(0, text.size() / 2));
  expect_refused(folder, "not valid JSON");
  folder.write("tokenizer.json", std::string(100'000, '['));
  expect_refused(folder, "nested deeper");
  folder.write("tokenizer.json", "{\"model\": \"\xFF\xFE\"}");
  expect_refused(folder, "not valid JSON");
  std::filesystem::remove(folder.path() / "tokenizer.json");
  std::filesystem::create_directory(folder.path() / "tokenizer.json");
  expect_refused(folder, "not a regular file");
}

TEST(MalformedTokenizer, NestingWithinTheJsonLimit) {
  std::string normalizer = R"({"type":"NFC"})";
  for (int depth = 0; depth < 40; ++depth) normalizer = R"({"type":"Sequence","normalizers":[)" + normalizer + "]}";
  json document = good_tokenizer();
  std::string text = document.dump();
  const std::string none = "\"normalizer\":null";
  text.replace(text.find(none), none.size(), "\"normalizer\":" + normalizer);
  const ScratchFolder folder;
  folder.write("tokenizer.json", text);
  expect_refused(folder, "nested deeper");
}

class MalformedConfig : public testing::TestWithParam<Change> {};

TEST_P(MalformedConfig, IsRefused) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", good_tokenizer().dump());
  folder.write("tokenizer_config.json", GetParam().value);
  expect_refused(folder, GetParam().message);
  std::filesystem::remove(folder.path() / "tokenizer.json");
  std::filesystem::copy_file(tokenizer_folder("demo") / "tokenizer.model", folder.path() / "tokenizer.model");
  expect_refused(folder, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(All, MalformedConfig,
                         testing::Values(Change{"", "", "not valid JSON"}, Change{"", "[]", "tokenizer_config.json"},
                                         Change{"", R"({"bos_token": 1})", "bos_token"},
                                         Change{"", R"({"eos_token": {}})", "eos_token.content"},
                                         Change{"", R"({"eos_token": "<nope>\n"})", "'<nope>\\x0a'"},
                                         Change{"", R"({"add_bos_token": "yes"})", "add_bos_token"},
                                         Change{"", R"({"chat_template": 3})", "chat_template"},
                                         Change{"", R"({"add_eos_token": 1})", "add_eos_token"},
                                         Change{"", R"({"added_tokens_decoder": {"x": {"content": "y"}}})", "'x'"},
                                         Change{"", R"({"added_tokens_decoder": {"-1": {"content": "y"}}})", "'-1'"},
                                         Change{"", R"({"added_tokens_decoder": {"99999999": {"content": "y"}}})",
                                                "'99999999'"},
                                         Change{"", R"({"added_tokens_decoder": {"9": {"content": ""}}})",
                                                "added_tokens_decoder.9.content"}));

TEST(MalformedConfigOfSentencepiece, TokensThatContradictTheModel) {
  for (const char* tokens :
       {R"({"5": {"content": "<s>"}})", R"({"1": {"content": "<t>"}})", R"({"9000": {"content": "<s>"}})",
        R"({"9000": {"content": "x"}, "9001": {"content": "x"}})"}) {
    const ScratchFolder folder;
    std::filesystem::copy_file(tokenizer_folder("demo") / "tokenizer.model", folder.path() / "tokenizer.model");
    folder.write("tokenizer_config.json", fmt::format(R"({{"added_tokens_decoder": {}}})", tokens));
    expect_refused(folder, "is not what tokenizer.model says");
  }
}

std::string demo_model() {
  return read_text(tokenizer_folder("demo") / "tokenizer.model", 1 << 20);
}

TEST(MalformedSentencepiece, EmptyTruncatedOrSomethingElse) {
  const ScratchFolder folder;
  const std::string model = demo_model();
  for (const std::string& bytes : {std::string(), std::string("{}"), std::string(1000, '\0'), std::string(1000, '\xFF'),
                                   std::string("\x0A\xFF\xFF\xFF\xFF\x0F"), model.substr(0, model.size() / 2 + 1),
                                   model.substr(0, 7), model.substr(1)}) {
    folder.write("tokenizer.model", bytes);
    expect_refused(folder, "tokenizer.model");
  }
  std::filesystem::remove(folder.path() / "tokenizer.model");
  std::filesystem::create_directory(folder.path() / "tokenizer.model");
  expect_refused(folder, "not a regular file");
}

// Parts of the message appended: later values count.
TEST(MalformedSentencepiece, WhatIsNotUnderstood) {
  const auto refused = [](std::string_view tail, const char* message) {
    const ScratchFolder folder;
    folder.write("tokenizer.model", demo_model() + std::string(tail));
    expect_refused(folder, message);
  };
  refused(std::string_view("\x0A\x00", 2), "an empty piece");
  refused("\x0A\x03\x0A\x01\xFF", "is not UTF-8");
  refused("\x0A\x06\x0A\x02zz\x18\x09", "type");
  refused("\x0A\x06\x0A\x02zz\x18\x06", "for a byte");
  refused("\x0A\x05\x0A\x03<s>", "'<s>' is there twice");
  refused("\x1A\x03\x12\x01x", "precompiled_charsmap");
  refused(std::string_view("\x1A\x02\x28\x00", 4), "escape_whitespaces");
  refused("\x12\x03\xC0\x01\x01", "treat_whitespace_as_suffix");
  refused("\x08\x01", "pieces is of another type");
}

// Not one of these must crash; most are refused, and what opens must encode.
TEST(MalformedSentencepiece, RandomDamage) {
  const std::string model = demo_model();
  const ScratchFolder folder;
  std::mt19937 random(11);
  int opened = 0;
  for (int round = 0; round < 150; ++round) {
    std::string damaged = model;
    // Half of the damage goes to the specs at the end.
    const std::size_t begin = round % 2 == 0 ? 0 : model.size() - 400;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      damaged[begin + random() % (model.size() - begin)] = static_cast<char>(random());
    }
    folder.write("tokenizer.model", damaged);
    try {
      const auto tokenizer = folder.open();
      const auto ids = tokenizer->encode("Hello, 世界! <s> \n 123", {.parse_special = true});
      tokenizer->decode(ids, false);
      ++opened;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(opened, 5);
  EXPECT_LT(opened, 150);
}

}  // namespace
}  // namespace precis
