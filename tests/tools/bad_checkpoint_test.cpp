// Checkpoints and tokenizers broken one by one, each a copy of a good one: refused in one line that names the file.
#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;
using Breaking = std::function<void(const std::filesystem::path& folder)>;

struct BadFolder {
  std::string name;
  Breaking break_it;
  std::string part;  // of the message
};

std::ostream& operator<<(std::ostream& out, const BadFolder& bad) {
  return out << bad.name;
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::remove(path);  // it may be a link to the original
  std::ofstream(path, std::ios::binary) << text;
}

Breaking set(const std::string& key, const Json& value) {
  return [=](const std::filesystem::path& folder) {
    Json config = Json::parse(read_file(folder / "config.json"));
    config[key] = value;
    write(folder / "config.json", config.dump());
  };
}

Breaking without(const std::string& key) {
  return [=](const std::filesystem::path& folder) {
    Json config = Json::parse(read_file(folder / "config.json"));
    config.erase(key);
    write(folder / "config.json", config.dump());
  };
}

Breaking file(const std::string& name, const std::string& text) {
  return [=](const std::filesystem::path& folder) { write(folder / name, text); };
}

Breaking no_file(const std::string& name) {
  return [=](const std::filesystem::path& folder) { std::filesystem::remove(folder / name); };
}

// The first `bytes` of a file, or all but the last of them if negative.
Breaking cut(const std::string& name, std::ptrdiff_t bytes) {
  return [=](const std::filesystem::path& folder) {
    const std::string text = read_file(folder / name);
    const auto size = bytes < 0 ? text.size() - static_cast<std::size_t>(-bytes) : static_cast<std::size_t>(bytes);
    write(folder / name, text.substr(0, size));
  };
}

// A list of shards in place of the one file.
Breaking index(const std::string& text) {
  return [=](const std::filesystem::path& folder) {
    std::filesystem::rename(folder / "model.safetensors", folder / "part-1.safetensors");
    write(folder / "model.safetensors.index.json", text);
  };
}

// A safetensors file of a header alone, or of a header and data.
std::string safetensors(const std::string& header, std::size_t data = 0) {
  std::string text;
  for (int byte = 0; byte < 8; ++byte) text += static_cast<char>((header.size() >> (8 * byte)) & 0xFF);
  return text + header + std::string(data, '\0');
}

// Changes the entry of one tensor in the header of model.safetensors.
Breaking tensor(const std::string& name, const std::function<void(Json& entry)>& change) {
  return [=](const std::filesystem::path& folder) {
    const std::string text = read_file(folder / "model.safetensors");
    std::size_t size = 0;
    for (std::size_t byte = 0; byte < 8; ++byte)
      size |= std::size_t{static_cast<unsigned char>(text[byte])} << 8 * byte;
    Json header = Json::parse(text.substr(8, size));
    change(header.at(name));
    write(folder / "model.safetensors", safetensors(header.dump()) + text.substr(8 + size));
  };
}

constexpr const char* kNorm = "model.norm.weight";

std::vector<BadFolder> bad_checkpoints() {
  return {
      {"NoConfig", no_file("config.json"), "config.json"},
      {"EmptyConfig", file("config.json", ""), "config.json"},
      {"ConfigNotJson", file("config.json", "model: qwen3"), "config.json"},
      {"ConfigCut", cut("config.json", 300), "config.json"},
      {"ConfigList", file("config.json", "[1, 2]"), "config.json"},
      {"ConfigNotUtf8", file("config.json", "{\"architectures\": [\"\xff\xfe\"]}"), "config.json"},
      {"ConfigTooDeep", file("config.json", std::string(200'000, '[')), "config.json"},
      {"UnknownArchitecture", set("architectures", {"MambaForCausalLM"}), "Mamba"},
      {"ArchitectureNumber", set("architectures", 3), "architectures"},
      {"NoHiddenSize", without("hidden_size"), "hidden_size"},
      {"HiddenSizeText", set("hidden_size", "large"), "hidden_size"},
      {"HiddenSizeNegative", set("hidden_size", -64), "hidden_size"},
      {"HiddenSizeFraction", set("hidden_size", 64.5), "hidden_size"},
      {"HiddenSizeOther", set("hidden_size", 128), "[301, 64]"},
      {"HiddenSizeOverflow", set("hidden_size", std::int64_t{1} << 62), "hidden_size"},
      {"NoHeads", set("num_attention_heads", 0), "num_attention_heads"},
      {"KvHeadsDoNotDivide", set("num_key_value_heads", 3), "num_key_value_heads"},
      {"HeadSizeOdd", set("head_dim", 15), "head_dim"},
      {"NoLayers", set("num_hidden_layers", 0), "num_hidden_layers"},
      {"LayersBeyondTheFile", set("num_hidden_layers", 5), "layer"},
      {"LayersWithoutEnd", set("num_hidden_layers", 2'000'000'000), "num_hidden_layers"},
      {"VocabularyZero", set("vocab_size", 0), "vocab_size"},
      {"ActivationUnknown", set("hidden_act", "swish_cubed"), "hidden_act"},
      {"EpsilonText", set("rms_norm_eps", "small"), "rms_norm_eps"},
      {"RopeUnknown", set("rope_scaling", {{"rope_type", "spiral"}, {"factor", 2}}), "spiral"},
      {"RopeFactorText", set("rope_scaling", {{"rope_type", "linear"}, {"factor", "two"}}), "factor"},
      {"RopeThetaZero", set("rope_theta", 0), "rope_theta"},
      {"ChunkZero", set("summary_chunk_size", 0), "summary_chunk_size"},
      {"ChunkText", set("summary_chunk_size", "eight"), "summary_chunk_size"},
      {"SummariesTooMany", set("summary_token_num", 9), "summary_token_num"},
      {"PatternOpen", set("summary_sliding_chunk_num", "([2]*3"), "summary_sliding_chunk_num"},
      {"PatternWithoutEnd", set("summary_sliding_chunk_num", "([2]*1000000000)*1000000000"),
       "summary_sliding_chunk_num"},
      {"PatternDeep", set("summary_sliding_chunk_num", std::string(100'000, '(')), "summary_sliding_chunk_num"},
      {"PatternTooShort", set("summary_sliding_chunk_num", "[2]*3"), "summary_sliding_chunk_num"},
      {"PatternCode", set("summary_sliding_chunk_num", "__import__('os')"), "summary_sliding_chunk_num"},
      {"PositionsUnknown", set("summary_token_position_ids_type", "elsewhere"), "elsewhere"},
      {"ChunkPositionsUnknown", set("summary_chunk_position_ids_type", "inner_left"), "inner_left"},
      {"MixCoefficientText", set("mix_coeff", "all"), "mix_coeff"},
      {"NoWeights", no_file("model.safetensors"), "safetensors"},
      {"WeightsEmpty", file("model.safetensors", ""), "model.safetensors"},
      {"WeightsSeven", file("model.safetensors", "1234567"), "model.safetensors"},
      {"WeightsCut", cut("model.safetensors", -1), "model.safetensors"},
      {"WeightsHeaderCut", cut("model.safetensors", 1000), "model.safetensors"},
      {"WeightsHeaderHuge", file("model.safetensors", std::string(8, '\x7f') + "{}"), "model.safetensors"},
      {"WeightsHeaderNotJson", file("model.safetensors", safetensors("tensors!")), "model.safetensors"},
      {"WeightsHeaderEmpty", file("model.safetensors", safetensors("{}")), "model."},
      {"TensorTypeUnknown", tensor(kNorm, [](Json& entry) { entry["dtype"] = "Q7"; }), "Q7"},
      {"TensorTypeWhole", tensor(kNorm, [](Json& entry) { entry["dtype"] = "I16"; }), kNorm},
      {"TensorShapeOther",
       tensor(kNorm,
              [](Json& entry) {
                entry["shape"] = {8, 8};
              }),
       kNorm},
      {"TensorShapeNegative", tensor(kNorm, [](Json& entry) { entry["shape"] = {-64}; }), kNorm},
      {"TensorShapeOverflow",
       tensor(kNorm,
              [](Json& entry) {
                entry["shape"] = {std::int64_t{1} << 62, 8};
              }),
       kNorm},
      {"TensorBeyondTheFile",
       tensor(kNorm,
              [](Json& entry) {
                entry["data_offsets"] = {0, std::int64_t{1} << 40};
              }),
       kNorm},
      {"TensorBackwards",
       tensor(kNorm,
              [](Json& entry) {
                entry["data_offsets"] = {128, 0};
              }),
       kNorm},
      {"IndexOutside", index(R"({"weight_map": {"model.norm.weight": "../model.safetensors"}})"),
       "../model.safetensors"},
      {"IndexMissingShard", index(R"({"weight_map": {"model.norm.weight": "part-2.safetensors"}})"),
       "part-2.safetensors"},
      {"IndexNumber", index(R"({"weight_map": {"model.norm.weight": 1}})"), "weight_map"},
      {"IndexEmpty", index("{}"), "weight_map"},
      {"IndexNotJson", index("no"), "index.json"},
      {"GenerationNotJson", file("generation_config.json", "warm"), "generation_config.json"},
      {"GenerationTemperature", file("generation_config.json", R"({"do_sample": true, "temperature": "hot"})"),
       "temperature"},
      {"GenerationTopP", file("generation_config.json", R"({"do_sample": true, "top_p": -1})"), "top_p"},
  };
}

class BadCheckpointTest : public testing::TestWithParam<BadFolder> {};

// A copy of a small checkpoint, broken. It needs no tokenizer: ids are given.
TEST_P(BadCheckpointTest, IsRefusedInOneLine) {
  const TemporaryFolder folder;
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(test_data() / "ksa-variants" / "base" / name, folder.path() / name);
  }
  GetParam().break_it(folder.path());
  const std::string answer = folder.path() / "answer.safetensors";
  expect_refused(precis({"logits", "-m", folder.path(), "--ids", "-", "-o", answer}, "[[1, 2, 3]]"), GetParam().part);
  EXPECT_FALSE(std::filesystem::exists(answer));
}

// A byte-level tokenizer.json, whole but for what `model` says.
Breaking tokenizer_json(const std::string& model) {
  return file("tokenizer.json",
              R"({"pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"}, "model": )" + model + "}");
}

std::vector<BadFolder> bad_tokenizers() {
  return {
      {"NoTokenizer", no_file("tokenizer.model"), "tokenizer.model"},
      {"ModelEmpty", file("tokenizer.model", ""), "tokenizer.model"},
      {"ModelNoise", file("tokenizer.model", std::string(5000, '\x93')), "tokenizer.model"},
      {"ModelCut", cut("tokenizer.model", 1001), "tokenizer.model"},
      {"JsonNoise", file("tokenizer.json", "no"), "tokenizer.json"},
      {"JsonEmptyObject", file("tokenizer.json", "{}"), "tokenizer.json"},
      {"JsonUnknownModel", tokenizer_json(R"({"type": "Unigram", "vocab": []})"), "tokenizer.json"},
      {"JsonVocabularyList", tokenizer_json(R"({"type": "BPE", "vocab": [1], "merges": []})"), "vocab"},
      {"JsonIdNegative", tokenizer_json(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})"), "vocab"},
      {"JsonIdHuge", tokenizer_json(R"({"type": "BPE", "vocab": {"a": 4000000000000}, "merges": []})"), "vocab"},
      {"JsonMergeUnknown", tokenizer_json(R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})"), "merges"},
      {"ConfigNotJson", file("tokenizer_config.json", "{"), "tokenizer_config.json"},
      {"ConfigBosNumber", file("tokenizer_config.json", R"({"add_bos_token": 7})"), "add_bos_token"},
  };
}

class BadTokenizerTest : public testing::TestWithParam<BadFolder> {};

TEST_P(BadTokenizerTest, IsRefusedInOneLineByTokenizeAndRun) {
  const TemporaryFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(demo_ksa())) {
    std::filesystem::create_symlink(entry.path(), folder.path() / entry.path().filename());
  }
  GetParam().break_it(folder.path());
  expect_refused(precis({"tokenize", "-m", folder.path(), "-p", "text"}), GetParam().part);
  expect_refused(precis({"run", "-m", folder.path(), "-p", "text", "-n", "1"}), GetParam().part);
}

std::string name_of(const testing::TestParamInfo<BadFolder>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Folders, BadCheckpointTest, testing::ValuesIn(bad_checkpoints()), name_of);
INSTANTIATE_TEST_SUITE_P(Folders, BadTokenizerTest, testing::ValuesIn(bad_tokenizers()), name_of);

// The tables above mean something only if the originals are good.
TEST(GoodCheckpointTest, RunsBeforeItIsBroken) {
  const TemporaryFolder folder;
  const std::string answer = folder.path() / "answer.safetensors";
  const std::string base = test_data() / "ksa-variants" / "base";
  const Finished finished = precis({"logits", "-m", base, "--ids", "-", "-o", answer}, "[[1, 2, 3]]");
  EXPECT_EQ(finished.code, 0) << finished.err;
  EXPECT_TRUE(std::filesystem::exists(answer));
  EXPECT_EQ(precis({"inspect", "-m", base}).code, 0);
}

}  // namespace
}  // namespace precis::test
