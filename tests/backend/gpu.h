// The GPU that tests of the cuda backend run on, where there is one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/factory.h"
#include "mirror_ops.h"
#include "problems.h"
#ifdef PRECIS_HAS_CUDA
#include "backend/cuda/cuda_device.h"
#endif

namespace precis {

// Why there is none; empty where there is one.
inline std::string why_no_gpu() {
#ifdef PRECIS_HAS_CUDA
  return cuda::why_unusable();
#else
  return "this build has no cuda backend";
#endif
}

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_gpu(); !why.empty()) GTEST_SKIP() << why;
    // Opened once: it takes a second.
    static const std::unique_ptr<Device> rounding = open_backend("cuda", {});
    static const std::unique_ptr<Device> exact = open_backend("cuda", {.exact_activations = true});
    device_ = rounding.get();
    ops_ = std::make_unique<MirrorOps>(*rounding);
    exact_ops_ = std::make_unique<MirrorOps>(*exact);
  }

  std::uint64_t seed_ = fresh_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, "PRECIS_TEST_SEED=" + std::to_string(seed_)};
  Random random_{seed_};
  Device* device_ = nullptr;
  std::unique_ptr<MirrorOps> ops_;
  std::unique_ptr<MirrorOps> exact_ops_;  // with exact_activations
};

// Each row of `width` is off by at most `tolerance` of its norm, or of `typical` where that is more: a few numbers may
// be mostly what cancels, and rounding is in proportion to what was added up.
inline void expect_rows_near(const std::vector<float>& actual, const std::vector<float>& expected, std::int64_t width,
                             double tolerance, double typical = 0) {
  ASSERT_EQ(actual.size(), expected.size());
  const auto step = static_cast<std::size_t>(width);
  for (std::size_t at = 0; at + step <= actual.size(); at += step) {
    double error = 0;
    double norm = 0;
    for (std::size_t i = at; i < at + step; ++i) {
      error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
      norm += std::pow(static_cast<double>(expected[i]), 2);
    }
    // Written so that a NaN fails too.
    ASSERT_TRUE(std::sqrt(error) <= tolerance * std::max(std::sqrt(norm), typical) + 1e-6)
        << "row " << at / step << ": off by " << std::sqrt(error / norm) << " of its norm, element " << at << " is "
        << actual[at] << ", expected " << expected[at];
  }
}

}  // namespace precis
