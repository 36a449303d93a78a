// Formats found by what four bits cost: the same on any number of threads, within the budget, for every matrix.
#include "engine/format_search.h"

#include <gtest/gtest.h>

#include <random>

#include "backend/factory.h"
#include "families/families.h"
#include "model/weight_names.h"
#include "support/random.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

TextWindows random_windows(const ModelSpec& spec, std::size_t count, std::uint64_t seed) {
  Random random(seed);
  TextWindows windows(count);
  for (auto& window : windows) {
    for (int i = 0; i < 60; ++i) window.push_back(static_cast<std::int32_t>(random.below(spec.vocabulary)));
  }
  return windows;
}

TEST(FormatSearch, TheSameOnAnyNumberOfThreadsAndWithinTheBudget) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  for (const char* name : {"ksa-variants/base", "families/qwen3", "families/llama"}) {
    SCOPED_TRACE(name);
    const Checkpoint checkpoint{Folder(data_folder() / name)};
    const ModelSpec spec = read_model_spec(checkpoint);
    const TextWindows windows = random_windows(spec, 3, seed);
    const auto find = [&](int threads, double bits) {
      const auto device = open_backend("cpu", {.threads = threads});
      return *find_formats(checkpoint, spec, *device, threads, windows, bits, [] { return true; });
    };
    const FoundFormats one = find(1, 6.5);
    const FoundFormats three = find(3, 6.5);
    EXPECT_EQ(one.choice, three.choice);
    EXPECT_EQ(one.cost, three.cost);
    double bits = 0;
    double weights = 0;
    for (const ExpectedTensor& tensor : expected_tensors(spec)) {
      const bool matrix = tensor.shape.size() == 2 && tensor.shape[1] % 32 == 0;
      ASSERT_EQ(one.choice.contains(tensor.name), matrix) << tensor.name;
      if (!matrix) continue;
      const auto size = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
      bits += size * bits_of(one.choice.at(tensor.name));
      weights += size;
    }
    EXPECT_LE(bits / weights, 6.5);
    EXPECT_GT(bits / weights, 5);
    EXPECT_GT(one.cost, 0);
    EXPECT_EQ(find(1, 8.5).cost, 0) << "nothing is left at four bits";
  }
}

TEST(FormatSearch, OneWindowIsEnough) {
  const Checkpoint checkpoint{Folder(data_folder() / "families" / "qwen3")};
  const ModelSpec spec = read_model_spec(checkpoint);
  const auto device = open_backend("cpu", {.threads = 1});
  EXPECT_TRUE(find_formats(checkpoint, spec, *device, 1, random_windows(spec, 1, 5), 6, [] { return true; }));
}

TEST(FormatSearch, StopsWhenAsked) {
  const Checkpoint checkpoint{Folder(data_folder() / "ksa-variants" / "base")};
  const ModelSpec spec = read_model_spec(checkpoint);
  const auto device = open_backend("cpu", {.threads = 1});
  for (const int allowed : {0, 1, 4}) {
    int calls = 0;
    EXPECT_FALSE(
        find_formats(checkpoint, spec, *device, 1, random_windows(spec, 2, 5), 6, [&] { return calls++ < allowed; }));
    EXPECT_EQ(calls, allowed + 1);
  }
}

}  // namespace
}  // namespace precis::test
