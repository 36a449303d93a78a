// What a GPU's operations are planned to take, against what they were measured to take on an H100 (2026-11-26).
#include "engine/scratch_plan.h"

#include <gtest/gtest.h>

#include "backend/factory.h"
#include "engine/engine_plan.h"

namespace precis::test {
namespace {

constexpr std::int64_t KiB = 1024;
constexpr std::int64_t MiB = 1024 * KiB;

EngineOptions options_of(const std::string& geometry, std::int64_t context) {
  EngineOptions options;
  options.model = std::filesystem::path(PRECIS_GEOMETRIES) / geometry;
  options.dummy_weights = true;
  options.backend = "cuda";
  options.max_sequences = 1;
  options.context = context;
  return options;
}

std::int64_t planned(const EngineOptions& options) {
  return EnginePlan(options, ModelFiles(options), forecast_backend("cuda", {}).traits).needs().scratch;
}

struct Measured {
  std::string geometry;
  std::string kv_type;
  std::int64_t context;
  std::int64_t bytes;  // of all operations' memory, the products' library apart
};

// Never less, and little more: steps are planned with short runs of which all rows are split, longer ones with fp8.
TEST(ScratchPlanTest, IsWhatWasMeasured) {
  constexpr std::int64_t library = 32 * MiB;
  for (const Measured& of : {Measured{"ksa-4b", "auto", 4096, 39'520 * KiB},
                             {"ksa-4b", "auto", 131'072, 39'520 * KiB},
                             {"qwen3-4b", "auto", 32'768, 34'320 * KiB},
                             {"ksa-4b", "fp8", 4096, 72'802 * KiB},
                             {"ksa-4b", "fp8", 32'768, 302'192 * KiB},
                             {"ksa-4b", "fp8", 131'072, 498'528 * KiB}}) {
    EngineOptions options = options_of(of.geometry, of.context);
    options.kv_cache_dtype = of.kv_type;
    const std::int64_t beside = planned(options) - library - of.bytes;
    EXPECT_GE(beside, 0) << of.geometry << " " << of.kv_type << " " << of.context;
    EXPECT_LE(beside, (of.kv_type == "fp8" ? 80 : 32) * MiB) << of.geometry << " " << of.kv_type << " " << of.context;
  }
}

TEST(ScratchPlanTest, WeightsAreDequantizedAStripeAtATime) {
  EngineOptions options = options_of("qwen3-4b", 4096);
  const std::int64_t plain = planned(options);
  options.weights = "q8";
  EXPECT_EQ(planned(options), plain + 64 * MiB);
}

TEST(ScratchPlanTest, StepsOfOneRowArePlannedToo) {
  for (const char* type : {"auto", "fp8", "f32"}) {
    EngineOptions options = options_of("qwen3-0.6b", 1);
    options.kv_cache_dtype = type;
    options.piece = 1;
    EXPECT_GT(planned(options), 32 * MiB) << type;
    EXPECT_LT(planned(options), 64 * MiB) << type;
  }
}

}  // namespace
}  // namespace precis::test
