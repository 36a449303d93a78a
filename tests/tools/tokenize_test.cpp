#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

// Texts in which some tokenizer's special tokens stand are left out: --no-special takes them as text, the fixture not.
TEST(TokenizeTest, BatchEqualsFixtures) {
  const Json expected = Json::parse(read_file(test_data() / "tokenizers" / "expected.json"));
  const Json& texts = expected["texts"];
  for (const std::string name : {"qwen3", "gpt2", "mistral-nemo", "mistral-7b-v0.1", "demo"}) {
    const std::string folder = name == "demo" ? demo_ksa() : (test_data() / "tokenizers" / name).string();
    const Finished batch = precis({"tokenize", "-m", folder, "--batch", "-", "--no-special"}, texts.dump());
    ASSERT_EQ(batch.code, 0) << batch.err;
    const Json lists = batch.json().at(0);
    ASSERT_EQ(lists.size(), texts.size());
    std::size_t compared = 0;
    for (std::size_t at = 0; at < texts.size(); ++at) {
      const std::string text = texts[at];
      if (text.find("<|") != std::string::npos || text.find("<s>") != std::string::npos) continue;
      EXPECT_EQ(lists[at], expected["encoders"][name]["ids"][at]) << name << ": " << text;
      ++compared;
    }
    EXPECT_GT(compared, texts.size() * 9 / 10);
  }
}

TEST(TokenizeTest, JsonPiecesAndDecodeAgree) {
  const std::string text = "The caf\u00e9 at 12 o'clock \U0001F600.";
  const Finished encoded = precis({"tokenize", "-m", demo_ksa(), "-p", text, "--json"});
  ASSERT_EQ(encoded.code, 0) << encoded.err;
  const Json object = encoded.json().at(0);
  EXPECT_EQ(object["count"], object["ids"].size());
  EXPECT_EQ(object["pieces"].size(), object["ids"].size());
  EXPECT_EQ(object["ids"][0], 1);
  EXPECT_EQ(object["pieces"][0], "<s>");
  const Finished from_file = precis({"tokenize", "-m", demo_ksa(), "-f", "-", "--json"}, text);
  EXPECT_EQ(from_file.out, encoded.out);

  const Finished bare = precis({"tokenize", "-m", demo_ksa(), "-p", text, "--json", "--no-special"});
  const Json ids = bare.json().at(0)["ids"];
  EXPECT_NE(ids[0], 1);
  EXPECT_EQ(precis({"tokenize", "-m", demo_ksa(), "--decode", ids.dump()}).out, text);
  std::string spaced = ids.dump();
  std::replace(spaced.begin(), spaced.end(), ',', ' ');
  EXPECT_EQ(precis({"tokenize", "-m", demo_ksa(), "--decode", spaced.substr(1, spaced.size() - 2)}).out, text);
  const Finished json = precis({"tokenize", "-m", demo_ksa(), "--decode", ids.dump(), "--json"});
  EXPECT_EQ(json.json().at(0)["text"], text);
  EXPECT_EQ(precis({"tokenize", "-m", demo_ksa(), "--decode", "-"}, ids.dump() + "\n").out, text);
}

TEST(TokenizeTest, SpecialTokensAreParsedUnlessToldNot) {
  const auto ids = [](const std::vector<std::string>& more) {
    return precis(std::vector<std::string>{"tokenize", "-m", demo_ksa(), "--json", "-p", "<|im_start|>"} + more)
        .json()
        .at(0)["ids"];
  };
  EXPECT_EQ(ids({}), Json({1, 3}));
  EXPECT_GT(ids({"--no-special"}).size(), 3u);
}

TEST(TokenizeTest, PlainOutputIsOneTokenALine) {
  const Finished plain = precis({"tokenize", "-m", demo_ksa(), "-p", "one\ntwo", "--no-special"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  const Finished json = precis({"tokenize", "-m", demo_ksa(), "-p", "one\ntwo", "--no-special", "--json"});
  EXPECT_EQ(std::count(plain.out.begin(), plain.out.end(), '\n'), json.json().at(0)["count"].get<std::ptrdiff_t>());
}

TEST(TokenizeTest, FolderWithOnlyATokenizerIsEnough) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(demo_ksa() + "/tokenizer.model", folder.path() / "tokenizer.model");
  EXPECT_EQ(precis({"tokenize", "-m", folder.path(), "-p", "text"}).code, 0);
}

}  // namespace
}  // namespace precis::test
