// The fixtures' checkpoints: eight small models of all families, seventeen of KSA, and the two demo models.
#include <set>

#include "checkpoint/hand_made.h"
#include "families/families.h"

namespace precis {
namespace {

using Rules = std::vector<LayerRule>;

const LayerRule full{};
LayerRule window(std::int64_t tokens) {
  return {Sight::window, tokens};
}
LayerRule summary(std::int64_t chunks) {
  return {Sight::summary, chunks};
}

Checkpoint open(const std::filesystem::path& folder) {
  return Checkpoint(Folder(folder));
}

ModelSpec read(const std::string& name) {
  return read_model_spec(open(std::filesystem::path(PRECIS_TEST_DATA) / name));
}

Rules rules(const ModelSpec& spec) {
  Rules all;
  for (const std::int32_t index : spec.rule_of_layer) all.push_back(spec.rules.at(static_cast<std::size_t>(index)));
  return all;
}

// What the fixtures of one folder have in common.
void expect_sizes(const ModelSpec& spec, std::int64_t layers, std::int64_t head_dim) {
  EXPECT_EQ(spec.layers, layers);
  EXPECT_EQ(spec.hidden, 64);
  EXPECT_EQ(spec.ffn, 160);
  EXPECT_EQ(spec.heads, 4);
  EXPECT_EQ(spec.kv_heads, 2);
  EXPECT_EQ(spec.head_dim, head_dim);
  EXPECT_EQ(spec.context, 512);
  EXPECT_FLOAT_EQ(spec.epsilon, 1e-6F);
  EXPECT_EQ(spec.weights, DType::bf16);
  EXPECT_EQ(spec.begin_id, 1);
  EXPECT_EQ(spec.end_ids, std::vector<std::int32_t>{2});
}

struct DenseFixture {
  std::string name;
  std::string family;
  std::int64_t head_dim;
  bool tied;
  RopeKind rope;
  double theta;
  LayerRule rule;
};

TEST(Fixtures, Families) {
  const std::vector<DenseFixture> fixtures = {
      {"llama", "llama", 16, false, RopeKind::standard, 10000, full},
      {"llama3-rope", "llama", 16, true, RopeKind::llama3, 500000, full},
      {"llama-linear", "llama", 16, false, RopeKind::linear, 10000, full},
      {"mistral-window", "mistral", 16, false, RopeKind::standard, 10000, window(16)},
      {"mistral-nemo", "mistral", 32, false, RopeKind::standard, 1e6, full},
      {"qwen2", "qwen2", 16, true, RopeKind::standard, 1e6, full},
      {"qwen3", "qwen3", 32, false, RopeKind::standard, 1e6, full},
      {"qwen3-yarn", "qwen3", 32, true, RopeKind::yarn, 1e6, full},
  };
  for (const DenseFixture& fixture : fixtures) {
    SCOPED_TRACE(fixture.name);
    const ModelSpec spec = read("families/" + fixture.name);
    expect_sizes(spec, 3, fixture.head_dim);
    EXPECT_EQ(spec.family, fixture.family);
    EXPECT_EQ(spec.embeddings, 320);
    EXPECT_EQ(spec.vocabulary, 320);
    EXPECT_EQ(spec.tied_head, fixture.tied);
    EXPECT_EQ(spec.rope.kind, fixture.rope);
    EXPECT_EQ(spec.rope.theta, fixture.theta);
    EXPECT_EQ(spec.qkv_bias, fixture.family == "qwen2");
    EXPECT_EQ(spec.qk_norm, fixture.family == "qwen3");
    EXPECT_FALSE(spec.summary.has_value());
    EXPECT_EQ(rules(spec), Rules(3, fixture.rule));
  }
}

TEST(Fixtures, ScaledRopes) {
  const RopeSpec llama3 = read("families/llama3-rope").rope;
  EXPECT_EQ(llama3.factor, 8);
  EXPECT_EQ(llama3.low_freq_factor, 1);
  EXPECT_EQ(llama3.high_freq_factor, 4);
  EXPECT_EQ(llama3.original_context, 64);
  EXPECT_EQ(read("families/llama-linear").rope.factor, 4);
  const RopeSpec yarn = read("families/qwen3-yarn").rope;
  EXPECT_EQ(yarn.factor, 4);
  EXPECT_EQ(yarn.original_context, 128);
}

struct KsaFixture {
  std::string name;
  ChunkShape chunk;
  Rules rules;
  bool own_projections = true;
  float mix = 1;
  TextPositions text_positions = TextPositions::origin;
  SummaryPositions summary_positions = SummaryPositions::slice_right;
};

std::vector<KsaFixture> ksa_fixtures() {
  const Rules usual = {summary(2), summary(2), summary(2), full};
  const TextPositions origin = TextPositions::origin;
  return {
      {"base", {8, 1}, usual},
      {"full-first", {8, 1}, {full, summary(2), summary(2), summary(2)}},
      {"inner", {8, 1}, usual, true, 1, TextPositions::inner_chunk, SummaryPositions::zeros},
      {"k1", {1, 1}, {summary(4), summary(4), summary(4), full}},
      {"k32", {32, 1}, {summary(1), summary(1), summary(1), full}},
      {"k5", {5, 1}, usual},
      {"list", {8, 1}, {summary(1), summary(1), summary(1), full}},
      {"mix-half", {8, 1}, usual, true, 0.5F},
      {"mix0", {8, 1}, usual, false, 0},
      {"norm", {8, 1}, usual},
      {"pure", {8, 1}, Rules(4, summary(3))},
      {"s2-right", {8, 2}, usual},
      {"s3-left", {8, 3}, usual, true, 1, origin, SummaryPositions::slice_left},
      {"s4-zeros", {8, 4}, usual, true, 1, origin, SummaryPositions::zeros},
      {"shared", {8, 1}, usual, false, 0},
      {"untied", {8, 1}, usual},
      {"window0", {8, 1}, Rules(4, summary(0))},
  };
}

TEST(Fixtures, SummaryAttention) {
  std::set<std::string> seen;
  for (const KsaFixture& fixture : ksa_fixtures()) {
    SCOPED_TRACE(fixture.name);
    seen.insert(fixture.name);
    const ModelSpec spec = read("ksa-variants/" + fixture.name);
    expect_sizes(spec, 4, 16);
    EXPECT_EQ(spec.family, "ksa");
    EXPECT_TRUE(spec.qk_norm);
    EXPECT_EQ(spec.chunk.text, fixture.chunk.text);
    EXPECT_EQ(spec.chunk.summary, fixture.chunk.summary);
    EXPECT_EQ(spec.embeddings, 300 + fixture.chunk.summary);
    EXPECT_EQ(spec.vocabulary, 300);
    EXPECT_EQ(spec.summary->first_id, 300);
    EXPECT_EQ(spec.summary->own_projections, fixture.own_projections);
    EXPECT_EQ(spec.summary->mix, fixture.mix);
    EXPECT_EQ(spec.summary->own_norm, fixture.name == "norm");
    EXPECT_EQ(spec.summary->text_positions, fixture.text_positions);
    EXPECT_EQ(spec.summary->summary_positions, fixture.summary_positions);
    EXPECT_EQ(spec.tied_head, fixture.name != "untied");
    EXPECT_EQ(rules(spec), fixture.rules);
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(PRECIS_TEST_DATA) / "ksa-variants")) {
    EXPECT_TRUE(seen.contains(entry.path().filename().string())) << entry.path();
  }
}

TEST(Fixtures, DemoModels) {
  const ModelSpec ksa = read_model_spec(open(std::filesystem::path(PRECIS_MODELS) / "demo-ksa"));
  EXPECT_EQ(ksa.family, "ksa");
  EXPECT_EQ(ksa.context, 32768);
  EXPECT_EQ(ksa.embeddings, 8193);
  EXPECT_EQ(ksa.vocabulary, 8192);
  EXPECT_EQ(ksa.rules, (Rules{summary(32), full}));
  EXPECT_EQ(ksa.rule_of_layer, (std::vector<std::int32_t>{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}));
  EXPECT_EQ(ksa.end_ids, (std::vector<std::int32_t>{2, 4})) << "generation_config.json's";
  const ModelSpec dense = read_model_spec(open(std::filesystem::path(PRECIS_MODELS) / "demo-dense"));
  EXPECT_EQ(dense.family, "qwen3");
  EXPECT_EQ(dense.rules, Rules{full});
}

TEST(Fixtures, ShardsAreOneCheckpoint) {
  const Checkpoint llama = open(std::filesystem::path(PRECIS_TEST_DATA) / "families" / "llama");
  EXPECT_EQ(llama.files().size(), 8U);
  EXPECT_EQ(llama.names().size(), 3U + 3 * 9);
}

}  // namespace
}  // namespace precis
