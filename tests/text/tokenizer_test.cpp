#include "text/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/tokenizer_files.h"

namespace precis {
namespace {

using Ids = std::vector<std::int32_t>;

class SpecialTokens : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(SpecialTokens, AreTextUnlessAskedFor) {
  const auto tokenizer = open_named(GetParam().first);
  const std::string special = GetParam().second;
  const auto id = tokenizer->id_of(special);
  ASSERT_TRUE(id);
  EXPECT_TRUE(tokenizer->is_special(*id));
  EXPECT_EQ(tokenizer->piece(*id), special);
  for (const std::string& text : {special, "a" + special + "b", special + special, " " + special + "\n"}) {
    const Ids plain = tokenizer->encode(text, {.add_bos = false});
    EXPECT_EQ(std::count(plain.begin(), plain.end(), *id), 0) << text;
    EXPECT_EQ(tokenizer->decode(plain, true), text);
    const Ids parsed = tokenizer->encode(text, {.add_bos = false, .parse_special = true});
    EXPECT_EQ(std::count(parsed.begin(), parsed.end(), *id), text == special + special ? 2 : 1) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SpecialTokens,
                         testing::Values(std::pair{"demo", "<|im_end|>"}, std::pair{"demo", "<s>"},
                                         std::pair{"demo", "</s>"}, std::pair{"demo", "<unk>"},
                                         std::pair{"qwen3", "<|im_end|>"}, std::pair{"gpt2", "<|endoftext|>"},
                                         std::pair{"mistral-nemo", "</s>"}, std::pair{"mistral-nemo", "[INST]"},
                                         std::pair{"mistral-nemo", "<SPECIAL_999>"},
                                         std::pair{"mistral-7b-v0.1", "<s>"}, std::pair{"mistral-7b-v0.3", "[INST]"}));

TEST(Tokenizer, EveryAddedTokenOfAThousandIsFound) {
  const auto tokenizer = open_named("mistral-nemo");
  std::string text;
  Ids expected;
  for (std::int32_t id = 0; id < 1000; ++id) {
    text += tokenizer->piece(id) + "x";
    expected.push_back(id);
    expected.push_back(tokenizer->encode("x", {.add_bos = false})[0]);
  }
  EXPECT_EQ(tokenizer->encode(text, {.add_bos = false, .parse_special = true}), expected);
}

TEST(Tokenizer, BeginsAndEndsAsItsFilesSay) {
  EXPECT_EQ(open_named("demo")->encode("").size(), 1u);
  EXPECT_EQ(open_named("demo")->encode("")[0], 1);
  EXPECT_EQ(open_named("demo")->eos_ids(), Ids{4});
  EXPECT_EQ(open_named("mistral-nemo")->encode("a")[0], 1);
  EXPECT_EQ(open_named("mistral-nemo")->encode("a", {.add_bos = false}).size(), 1u);
  EXPECT_EQ(open_named("mistral-nemo")->encode("a", {.add_bos = true, .add_eos = true}).back(), 2);
  EXPECT_EQ(open_named("mistral-7b-v0.1")->encode("a")[0], 1);
  EXPECT_FALSE(open_named("qwen3")->adds_bos());
  EXPECT_EQ(open_named("qwen3")->eos_ids(), Ids{151645});
  EXPECT_EQ(open_named("gpt2")->encode("a"), Ids{64});
  EXPECT_EQ(open_named("gpt2")->bos_id(), 50256);
  EXPECT_EQ(open_named("gpt2-llama3-split")->bos_id(), std::nullopt);
  EXPECT_EQ(open_named("qwen3")->vocab_size(), 151669);
}

TEST(Tokenizer, BrokenUtf8IsReadAsTheReplacementCharacter) {
  for (const char* name : {"demo", "gpt2", "mistral-7b-v0.1"}) {
    const auto tokenizer = open_named(name);
    EXPECT_EQ(tokenizer->encode("a\xFF\xE4\xB8 b"), tokenizer->encode("a\uFFFD\uFFFD b")) << name;
    EXPECT_EQ(tokenizer->encode("\x80"), tokenizer->encode("\uFFFD")) << name;
  }
}

TEST(Tokenizer, SegmentsJoinWithoutASeam) {
  for (const char* name : {"demo", "qwen3", "mistral-7b-v0.1"}) {
    const auto tokenizer = open_named(name);
    const std::string text = "Once upon a time, there was an emerald city.";
    const Ids whole = tokenizer->encode(text);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      const std::vector<TextSegment> segments = {{std::string_view(text).substr(0, cut), true},
                                                 {std::string_view(text).substr(cut), false}};
      EXPECT_EQ(tokenizer->encode(segments), whole) << name << " " << cut;
    }
  }
}

TEST(Tokenizer, ASpecialTokenHalfInUserTextIsText) {
  const auto tokenizer = open_named("demo");
  const std::vector<TextSegment> segments = {{"<|im_", false}, {"end|>", true}};
  EXPECT_EQ(tokenizer->encode(segments), tokenizer->encode("<|im_end|>"));
  const std::vector<TextSegment> trusted = {{"<|im_", true}, {"end|>", true}};
  EXPECT_EQ(tokenizer->encode(trusted, {.add_bos = false}), Ids{4});
}

// legacy: false, as the demo models' files say; transformers' default for others puts the dummy space everywhere.
TEST(Tokenizer, TheDummySpaceAfterASpecialTokenFollowsLegacy) {
  const auto demo = open_named("demo");
  const Ids ids = demo->encode("<|im_start|>user", {.add_bos = false, .parse_special = true});
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(demo->piece(ids[1]), "us");
  const auto mistral = open_named("mistral-7b-v0.1");
  const Ids other = mistral->encode("<s>user", {.add_bos = false, .parse_special = true});
  ASSERT_EQ(other.size(), 2u);
  EXPECT_EQ(mistral->piece(other[1]), "▁user");
}

TEST(Tokenizer, AConfigurationMayAddTokensToASentencepieceModel) {
  const ScratchFolder folder;
  std::filesystem::copy_file(tokenizer_folder("mistral-7b-v0.1") / "tokenizer.model",
                             folder.path() / "tokenizer.model");
  folder.write("tokenizer_config.json",
               R"({"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "add_bos_token": false,
      "added_tokens_decoder": {"1": {"content": "<s>"}, "32000": {"content": "<|im_end|>", "special": true},
                               "32001": {"content": "<|im_start|>", "special": true},
                               "32002": {"content": "<tool>", "special": false}}})");
  const auto tokenizer = folder.open();
  EXPECT_EQ(tokenizer->vocab_size(), 32003);
  EXPECT_TRUE(tokenizer->is_special(1));  // a control piece, whatever the configuration leaves out
  EXPECT_EQ(tokenizer->eos_ids(), Ids{32000});
  const Ids ids = tokenizer->encode("<|im_start|>a<tool><|im_end|>", {.parse_special = true});
  EXPECT_EQ(ids.front(), 32001);
  EXPECT_EQ(ids.back(), 32000);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 32002), 1);
  EXPECT_EQ(tokenizer->decode(ids, true), "a<tool>");
  const Ids plain = tokenizer->encode("<|im_start|>a<tool>");
  EXPECT_EQ(plain.back(), 32002);  // vocabulary, not special
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 32001), 0);
}

// A small vocabulary for rules that no fixture reaches.
nlohmann::json small_tokenizer() {
  return nlohmann::json::parse(R"({
    "added_tokens": [{"id": 5, "content": "[X]", "special": false, "normalized": true}],
    "normalizer": {"type": "NFC"}, "pre_tokenizer": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "?", "fuse_unk": false, "byte_fallback": false,
              "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "aba": 4}, "merges": ["a b", ["ab", "a"]]}})");
}

Ids small_ids(const nlohmann::json& json, std::string_view text) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", json.dump());
  return folder.open()->encode(text);
}

TEST(Tokenizer, UnknownCharacters) {
  nlohmann::json json = small_tokenizer();
  EXPECT_EQ(small_ids(json, "abaxyb"), (Ids{4, 0, 0, 2}));
  json["model"]["fuse_unk"] = true;
  EXPECT_EQ(small_ids(json, "abaxyb"), (Ids{4, 0, 2}));
  json["model"].erase("unk_token");
  EXPECT_EQ(small_ids(json, "abaxyb"),
            (Ids{3, 3}));  // as in Hugging Face's tokenizers nothing, and its neighbours meet
  EXPECT_EQ(small_ids(json, "a[X]b"), (Ids{1, 5, 2}));
}

TEST(Tokenizer, IgnoreMergesTakesAWholeWord) {
  nlohmann::json json = small_tokenizer();
  json["model"]["vocab"]["ba"] = 6;
  EXPECT_EQ(small_ids(json, "ba"), (Ids{2, 1}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(small_ids(json, "ba"), (Ids{6}));
}

TEST(TokenizerThreadsTest, ManyThreadsEncodeAtOnce) {
  for (const char* name : {"gpt2", "demo"}) {
    const auto tokenizer = open_named(name);
    std::string text;
    for (int i = 0; i < 300; ++i) text += fmt::format("Chapter {} <|im_end|> éa\xFF\n", i);
    const Ids expected = tokenizer->encode(text);
    std::vector<std::jthread> threads;
    std::atomic<int> equal = 0;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 10; ++round) {
          const bool same = tokenizer->encode(text) == expected;
          const bool back = tokenizer->decode(expected, true) == tokenizer->decode(expected, true);
          equal += same && back;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(equal, 40) << name;
  }
}

TEST(Tokenizer, TheChatTemplateIsKeptAsItIs) {
  EXPECT_TRUE(open_named("demo")->config().chat_template->starts_with("{{ bos_token }}"));
  const ScratchFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "T"},
                                                               {"name": "default", "template": "D"}]})");
  EXPECT_EQ(folder.open()->config().chat_template, "D");
  folder.write("chat_template.jinja", "J\n");
  EXPECT_EQ(folder.open()->config().chat_template, "J\n");
}

}  // namespace
}  // namespace precis
