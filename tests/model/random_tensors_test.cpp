#include "model/random_tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"

namespace precis::test {
namespace {

std::vector<std::byte> bytes_of(const HostTensor& tensor) {
  return {tensor.view.data, tensor.view.data + tensor.view.bytes()};
}

std::vector<float> floats(const RandomTensors& tensors, const std::string& name) {
  return to_floats(name, tensors.find(name)->view);
}

TEST(RandomTensorsThreadsTest, FollowFromSeedAndNameAlone) {
  // Longer than a task of the fill, and no multiple of what one draw gives.
  const std::vector<std::int64_t> shape = {3, 262'147};
  const std::vector<ExpectedTensor> names = {{"a.weight", shape}, {"b.weight", shape}};
  for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
    const RandomTensors one(names, type, 7, 1);
    const RandomTensors three(names, type, 7, 3);
    const RandomTensors other(names, type, 8, 1);
    const std::vector<std::byte> tensor = bytes_of(*one.find("a.weight"));
    EXPECT_EQ(tensor.size(), static_cast<std::size_t>(3 * 262'147 * size_of(type)));
    EXPECT_EQ(tensor, bytes_of(*three.find("a.weight")));
    EXPECT_EQ(tensor, bytes_of(*one.find("a.weight")));
    EXPECT_NE(tensor, bytes_of(*one.find("b.weight")));
    EXPECT_NE(tensor, bytes_of(*other.find("a.weight")));
  }
}

TEST(RandomTensorsTest, SpreadEvenlyAroundZero) {
  for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
    const RandomTensors tensors({{"a.weight", {100, 1001}}}, type, 3, 1);
    const std::vector<float> values = floats(tensors, "a.weight");
    double sum = 0;
    double squares = 0;
    double next = 0;  // products of neighbours: none of the values tells of another
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += values[i];
      squares += static_cast<double>(values[i]) * values[i];
      if (i > 0) next += static_cast<double>(values[i]) * values[i - 1];
      ASSERT_LE(std::abs(values[i]), 0.0347F);  // 0.02 sqrt 3
    }
    const auto count = static_cast<double>(values.size());
    EXPECT_NEAR(sum / count, 0, 0.0003);  // 0.02 / sqrt(100,100) is 0.00006
    EXPECT_NEAR(std::sqrt(squares / count), 0.02, 0.0002);
    EXPECT_NEAR(next / squares, 0, 0.02);
  }
}

TEST(RandomTensorsTest, NormsAreOnesAndBiasesAreNot) {
  const RandomTensors tensors({{"model.norm.weight", {9}}, {"q_proj.bias", {9}}}, DType::bf16, 3, 1);
  EXPECT_FALSE(tensors.find("k_proj.bias"));
  EXPECT_EQ(floats(tensors, "model.norm.weight"), std::vector<float>(9, 1));
  for (const float value : floats(tensors, "q_proj.bias")) EXPECT_LT(std::abs(value), 0.1F);
  EXPECT_NE(floats(tensors, "q_proj.bias"), std::vector<float>(9, 0));
}

TEST(RandomTensorsTest, MoreThanTheMachineHasIsAnError) {
  const auto message = [](const std::vector<std::int64_t>& shape) -> std::string {
    try {
      RandomTensors({{"big.weight", shape}}, DType::f32, 0, 1).find("big.weight");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_TRUE(message({1 << 24, 1 << 24}).starts_with("big.weight: random weights of ")) << message({1 << 24, 1 << 24});
  EXPECT_NE(message({std::int64_t{1} << 40, std::int64_t{1} << 40}).find("too large"), std::string::npos);
}

}  // namespace
}  // namespace precis::test
