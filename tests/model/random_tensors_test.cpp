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

std::vector<float> floats(RandomTensors& tensors, const std::string& name, const std::vector<std::int64_t>& shape) {
  return to_floats(name, tensors.make(name, shape).view);
}

TEST(RandomTensorsThreadsTest, FollowFromSeedAndNameAlone) {
  // Longer than a task of the fill, and no multiple of what one draw gives.
  const std::vector<std::int64_t> shape = {3, 262'147};
  for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
    RandomTensors one(type, 7, 1);
    RandomTensors three(type, 7, 3);
    RandomTensors other(type, 8, 1);
    const std::vector<std::byte> tensor = bytes_of(one.make("a.weight", shape));
    EXPECT_EQ(tensor.size(), static_cast<std::size_t>(3 * 262'147 * size_of(type)));
    EXPECT_EQ(tensor, bytes_of(three.make("a.weight", shape)));
    EXPECT_EQ(tensor, bytes_of(one.make("a.weight", shape)));
    EXPECT_NE(tensor, bytes_of(one.make("b.weight", shape)));
    EXPECT_NE(tensor, bytes_of(other.make("a.weight", shape)));
  }
}

TEST(RandomTensorsTest, SpreadEvenlyAroundZero) {
  for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
    RandomTensors tensors(type, 3, 1);
    const std::vector<float> values = floats(tensors, "a.weight", {100, 1001});
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
  RandomTensors tensors(DType::bf16, 3, 1);
  EXPECT_EQ(floats(tensors, "model.norm.weight", {9}), std::vector<float>(9, 1));
  for (const float value : floats(tensors, "q_proj.bias", {9})) EXPECT_LT(std::abs(value), 0.1F);
  EXPECT_NE(floats(tensors, "q_proj.bias", {9}), std::vector<float>(9, 0));
}

TEST(RandomTensorsTest, MoreThanTheMachineHasIsAnError) {
  RandomTensors tensors(DType::f32, 0, 1);
  const auto message = [&](const std::vector<std::int64_t>& shape) -> std::string {
    try {
      tensors.make("big.weight", shape);
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
