// Matrices in quantized formats, as sources have them and as they become: shapes, refusals, and the same bytes on any
// number of threads.
#include "model/quantizer.h"

#include <cstring>
#include <limits>
#include <map>

#include "backend/factory.h"
#include "checkpoint/hand_made.h"
#include "model/weights.h"
#include "support/random.h"

namespace precis {
namespace {

// Tensors by name, made here.
class MadeSource final : public TensorSource {
 public:
  void add(const std::string& name, DType type, std::vector<std::int64_t> shape, std::vector<std::byte> bytes = {}) {
    TensorView view{nullptr, type, std::move(shape)};
    if (bytes.empty()) bytes.resize(static_cast<std::size_t>(view.bytes()));
    auto keeper = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    view.data = keeper->data();
    tensors_[name] = {std::move(view), std::move(keeper)};
  }
  std::optional<HostTensor> find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<std::string, HostTensor> tensors_;
};

std::vector<std::byte> random_floats(std::int64_t count) {
  test::Random random(std::random_device{}());
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.unit() - 0.5);
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

bool same_bytes(const HostTensor& a, const HostTensor& b) {
  return a.view.bytes() == b.view.bytes() &&
         std::memcmp(a.view.data, b.view.data, static_cast<std::size_t>(a.view.bytes())) == 0;
}

TEST(QuantizerThreadsTest, BytesDoNotDependOnThreads) {
  MadeSource source;
  source.add("w", DType::f32, {37, 128}, random_floats(37 * 128));
  const StoredMatrix plain = find_matrix(source, "w", 37, 128);
  for (const WeightFormat format : {WeightFormat::q8, WeightFormat::q6, WeightFormat::q5, WeightFormat::q4}) {
    const StoredMatrix one = Quantizer(format, 1).quantize("w", plain, format);
    const StoredMatrix three = Quantizer(format, 3).quantize("w", plain, format);
    EXPECT_TRUE(same_bytes(one.values, three.values));
    EXPECT_TRUE(same_bytes(one.scales, three.scales));
    EXPECT_EQ(one.bytes(), 37 * (value_row_bytes(format, 128) + scale_row_bytes(format, 128)));
  }
}

TEST(Quantizer, NumbersThatCannotBeQuantizedAreNamed) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -7e4F}) {
    std::vector<std::byte> bytes = random_floats(20 * 64);
    std::memcpy(bytes.data() + (11 * 64 + 5) * sizeof bad, &bad, sizeof bad);
    MadeSource source;
    source.add("w", DType::f32, {20, 64}, bytes);
    const StoredMatrix plain = find_matrix(source, "w", 20, 64);
    expect_error([&] { Quantizer(WeightFormat::q4, 2).quantize("w", plain, WeightFormat::q4); },
                 {"w: row 11", "65504"});
  }
}

TEST(Quantizer, FormatsFollowRoleAndSize) {
  const Quantizer four(WeightFormat::q4, 1);
  EXPECT_EQ(four.format_for("model.layers.5.mlp.up_proj.weight", 128), WeightFormat::q4);
  EXPECT_EQ(four.format_for("model.layers.15.self_attn.q_proj.weight", 128), WeightFormat::q4);
  EXPECT_EQ(four.format_for("model.layers.5.self_attn.v_proj.weight", 128), WeightFormat::q6);
  EXPECT_EQ(four.format_for("model.layers.5.self_attn.v_proj_summary.weight", 128), WeightFormat::q4);
  EXPECT_EQ(four.format_for("model.layers.5.mlp.down_proj.weight", 128), WeightFormat::q5);
  EXPECT_EQ(four.format_for("model.embed_tokens.weight", 128), WeightFormat::q5);
  EXPECT_EQ(four.format_for("lm_head.weight", 128), WeightFormat::q5);
  EXPECT_EQ(four.format_for("model.layers.5.mlp.up_proj.weight", 96), WeightFormat::q4);
  EXPECT_EQ(four.format_for("model.layers.5.mlp.up_proj.weight", 80), std::nullopt) << "not of whole blocks";
  const Quantizer five(WeightFormat::q5, 1);
  EXPECT_EQ(five.format_for("model.layers.5.mlp.up_proj.weight", 128), WeightFormat::q5);
  EXPECT_EQ(five.format_for("model.layers.5.self_attn.v_proj.weight", 128), WeightFormat::q6);
  const Quantizer six(WeightFormat::q6, 1);
  EXPECT_EQ(six.format_for("model.embed_tokens.weight", 128), WeightFormat::q6);
  const Quantizer eight(WeightFormat::q8, 1);
  EXPECT_EQ(eight.format_for("model.layers.5.mlp.up_proj.weight", 96), WeightFormat::q8);
  EXPECT_EQ(eight.format_for("model.layers.5.mlp.up_proj.weight", 100), std::nullopt);
}

TEST(Quantizer, ChoicesGoBeforeRoles) {
  const Quantizer chosen(
      WeightFormat::q4, 1,
      {{"lm_head.weight", WeightFormat::q4}, {"model.layers.5.mlp.up_proj.weight", WeightFormat::q8}});
  EXPECT_EQ(chosen.format_for("lm_head.weight", 128), WeightFormat::q4);
  EXPECT_EQ(chosen.format_for("model.layers.5.mlp.up_proj.weight", 128), WeightFormat::q8);
  EXPECT_EQ(chosen.format_for("model.layers.5.mlp.q_proj.weight", 128), WeightFormat::q4);
  EXPECT_EQ(chosen.format_for("model.embed_tokens.weight", 128), WeightFormat::q5);
}

TEST(StoredMatrix, EachTypeAndShapeIsChecked) {
  const auto refused = [](DType type, std::vector<std::int64_t> shape, std::optional<DType> scale_type,
                          std::vector<std::int64_t> scale_shape, const std::vector<std::string>& parts) {
    MadeSource source;
    source.add("w.weight", type, std::move(shape));
    if (scale_type) source.add("w.weight_scale", *scale_type, std::move(scale_shape));
    expect_error([&] { find_matrix(source, "w.weight", 4, 64); }, parts);
  };
  refused(DType::i8, {4, 64}, std::nullopt, {}, {"w.weight_scale: no such tensor", "[4, 2]"});
  refused(DType::i8, {4, 32}, DType::f16, {4, 2}, {"w.weight: shape [4, 32], expected [4, 64]"});
  refused(DType::i8, {4, 64}, DType::f16, {4, 2, 2}, {"w.weight_scale: shape [4, 2, 2], expected [4, 2]"});
  refused(DType::i8, {4, 64}, DType::bf16, {4, 2}, {"w.weight_scale: type bf16, expected f16"});
  refused(DType::u8, {4, 64}, DType::i16, {4, 2}, {"w.weight: u8 of shape [4, 64], expected [4, 32] (q4), [4, 40]"});
  refused(DType::u8, {4, 32}, DType::i16, {4, 4}, {"w.weight_scale: shape [4, 4], expected [4, 2]"});
  refused(DType::u8, {4, 48}, DType::i16, {4, 4}, {"w.weight_scale: shape [4, 4], expected [4, 2]"});
  refused(DType::u8, {4, 40}, DType::f16, {4, 2}, {"w.weight_scale: type f16, expected i16: w.weight is q5"});
  refused(DType::i32, {4, 64}, std::nullopt, {}, {"w.weight: type i32"});
  MadeSource source;
  source.add("w.weight", DType::u8, {4, 40});
  expect_error([&] { find_matrix(source, "w.weight", 4, 80); }, {"w.weight: q4 of 80 inputs", "multiple of 32"});
  expect_error([&] { find_matrix(source, "v.weight", 4, 80); }, {"v.weight: no such tensor"});
}

TEST(StoredMatrix, ScalesMustBeNumbers) {
  for (const std::uint16_t bits : std::initializer_list<std::uint16_t>{0x7c00, 0xfc00, 0x7e01}) {
    std::vector<std::byte> scales(4 * 2 * 2);
    std::memcpy(scales.data() + (2 * 2 + 1) * 2, &bits, sizeof bits);
    MadeSource source;
    source.add("w.weight", DType::i8, {4, 64});
    source.add("w.weight_scale", DType::f16, {4, 2}, scales);
    const StoredMatrix matrix = find_matrix(source, "w.weight", 4, 64);
    expect_error([&] { check_scales("w.weight", matrix); }, {"w.weight_scale: row 2", "finite"});
  }
}

}  // namespace
}  // namespace precis
