#include "precis/checkpoint_report.h"

#include "base/file.h"
#include "checkpoint/hand_made.h"
#include "checkpoint/safetensors_file.h"
#include "precis/tensor_file.h"

namespace precis {
namespace {

TEST(CheckpointReport, DemoKsa) {
  const auto folder = std::filesystem::path(PRECIS_MODELS) / "demo-ksa";
  const CheckpointReport report = inspect(folder);
  EXPECT_EQ(report.family, "ksa");
  EXPECT_EQ(report.layers, 12);
  EXPECT_EQ(report.hidden, 256);
  EXPECT_EQ(report.ffn, 704);
  EXPECT_EQ(report.heads, 4);
  EXPECT_EQ(report.kv_heads, 2);
  EXPECT_EQ(report.head_dim, 64);
  EXPECT_EQ(report.embeddings, 8193);
  EXPECT_EQ(report.vocabulary, 8192);
  EXPECT_EQ(report.context, 32768);
  EXPECT_EQ(report.rope, "theta 500000");
  EXPECT_TRUE(report.tied_head);
  EXPECT_EQ(report.chunk_text, 8);
  EXPECT_EQ(report.chunk_summary, 1);
  EXPECT_NE(report.summary.find("own projections"), std::string::npos) << report.summary;
  ASSERT_EQ(report.layer.size(), 12U);
  EXPECT_EQ(report.layer[0].sight, "summary");
  EXPECT_EQ(report.layer[0].window, 32);
  EXPECT_EQ(report.layer[3].sight, "full");
  // Per layer: q 256x256, k and v 128x256, the same again for summaries, o, gate, up, down, four norms.
  const std::int64_t layer = 2 * (65536 + 2 * 32768) + 65536 + 3 * 256 * 704 + 2 * 256 + 2 * 64;
  EXPECT_EQ(report.parameters, 8193 * 256 + 12 * layer + 256);
  EXPECT_EQ(report.bytes, 2 * report.parameters);
  EXPECT_EQ(report.tensors, 2 + 12 * 14);
  EXPECT_EQ(report.files, std::vector<std::string>{"model.safetensors"});
  ASSERT_EQ(report.bytes_by_type.size(), 1U);
  EXPECT_EQ(report.bytes_by_type[0].first, "bf16");
  EXPECT_EQ(report.bytes_by_type[0].second, report.bytes);
  EXPECT_TRUE(report.unused.empty());
  EXPECT_EQ(report.kv_bytes_per_token_full, 12 * 2 * 2 * 64 * 2);
}

TEST(CheckpointReport, DenseFixtures) {
  const auto folder = std::filesystem::path(PRECIS_TEST_DATA) / "families";
  const CheckpointReport llama = inspect(folder / "llama");
  EXPECT_EQ(llama.files.size(), 8U);
  EXPECT_EQ(llama.chunk_text, 0);
  EXPECT_TRUE(llama.summary.empty());
  EXPECT_EQ(inspect(folder / "llama-linear").rope, "linear, theta 10000, factor 4");
  EXPECT_EQ(inspect(folder / "llama3-rope").rope,
            "llama3, theta 500000, factor 8, frequency factors 1 to 4, original context 64");
  EXPECT_EQ(inspect(folder / "qwen3-yarn").rope, "yarn, theta 1000000, factor 4, original context 128, beta 32 to 1");
  const CheckpointReport window = inspect(folder / "mistral-window");
  EXPECT_EQ(window.layer.at(2).sight, "window");
  EXPECT_EQ(window.layer.at(2).window, 16);
}

TEST(CheckpointReport, IdleProjectionsAreUnused) {
  const CheckpointReport report = inspect(std::filesystem::path(PRECIS_TEST_DATA) / "ksa-variants" / "mix0");
  EXPECT_EQ(report.unused.size(), 12U);
  EXPECT_NE(report.summary.find("shared projections"), std::string::npos) << report.summary;
}

TEST(CheckpointReport, RefusesInOneLine) {
  const TemporaryFolder folder;
  expect_error([&] { inspect(folder.path()); }, {"config.json"});
  expect_error([&] { inspect(folder.path() / "absent"); }, {"absent"});
}

TEST(TensorFile, WritesFloatMatrices) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  write_matrices(path, {{"0", 2, 3, {1, 2, 3, 4, 5, 6}}, {"1", 0, 3, {}}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(file.find("0")->view.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(to_floats("0", file.find("0")->view), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(file.find("1")->view.shape, (std::vector<std::int64_t>{0, 3}));
  expect_error([&] { write_matrices(path, {{"bad", 2, 3, {1}}}); }, {"out.safetensors", "bad"});
}

}  // namespace
}  // namespace precis
