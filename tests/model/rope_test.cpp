// Rotary frequencies against closed formulas in double, written from the papers and from what transformers documents,
// not from the code.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

namespace precis::test {
namespace {

constexpr std::int64_t head_dims[] = {2, 4, 16, 64, 80, 128, 256};

RopeSpec spec_of(RopeKind kind, double theta, double factor, double original_context) {
  RopeSpec spec;
  spec.kind = kind;
  spec.theta = theta;
  spec.factor = factor;
  spec.original_context = original_context;
  return spec;
}

double plain(double theta, std::int64_t pair, std::int64_t head_dim) {
  return std::exp(-std::log(theta) * 2.0 * static_cast<double>(pair) / static_cast<double>(head_dim));
}

// Radians after a million positions stay within a hundredth of what float frequencies allow.
void expect_close(float actual, double expected, std::int64_t pair) {
  EXPECT_NEAR(static_cast<double>(actual), expected, 2e-6 * expected) << "pair " << pair;
}

TEST(RopeTest, Standard) {
  for (const double theta : {10'000.0, 500'000.0, 1'000'000.0, 5'000'000.0}) {
    for (const std::int64_t head_dim : head_dims) {
      const RopeTable table = make_rope_table(spec_of(RopeKind::standard, theta, 1, 0), head_dim);
      ASSERT_EQ(static_cast<std::int64_t>(table.frequencies.size()), head_dim / 2);
      EXPECT_EQ(table.magnitude, 1.0F);
      EXPECT_EQ(table.frequencies[0], 1.0F);
      for (std::int64_t pair = 0; pair < head_dim / 2; ++pair) {
        expect_close(table.frequencies[static_cast<std::size_t>(pair)], plain(theta, pair, head_dim), pair);
      }
    }
  }
}

TEST(RopeTest, Linear) {
  const RopeTable table = make_rope_table(spec_of(RopeKind::linear, 10'000, 2.5, 0), 128);
  EXPECT_EQ(table.magnitude, 1.0F);
  for (std::int64_t pair = 0; pair < 64; ++pair) {
    expect_close(table.frequencies[static_cast<std::size_t>(pair)], plain(10'000, pair, 128) / 2.5, pair);
  }
}

// Turns within the original context: above high_freq_factor nothing changes, below low_freq_factor everything is
// stretched, and between the two the share of the kept frequency grows with the turns.
double llama3(const RopeSpec& spec, double frequency) {
  const double turns = spec.original_context * frequency / (2 * std::numbers::pi);
  const double share = (turns - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor);
  const double kept = std::min(1.0, std::max(0.0, share));
  return frequency * (kept + (1 - kept) / spec.factor);
}

TEST(RopeTest, Llama3) {
  for (const double factor : {8.0, 32.0}) {
    RopeSpec spec = spec_of(RopeKind::llama3, 500'000, factor, 8192);
    spec.low_freq_factor = 1;
    spec.high_freq_factor = 4;
    int kept = 0;
    int divided = 0;
    int blended = 0;
    for (const std::int64_t head_dim : {64, 128}) {
      const RopeTable table = make_rope_table(spec, head_dim);
      EXPECT_EQ(table.magnitude, 1.0F);
      for (std::int64_t pair = 0; pair < head_dim / 2; ++pair) {
        const double before = plain(spec.theta, pair, head_dim);
        const double after = llama3(spec, before);
        expect_close(table.frequencies[static_cast<std::size_t>(pair)], after, pair);
        (after == before ? kept : after <= before / factor * 1.0001 ? divided : blended) += 1;
      }
    }
    EXPECT_GT(kept, 0);
    EXPECT_GT(divided, 0);
    EXPECT_GT(blended, 0);
  }
}

// Where a pair lies that turns `turns` times in the original context, counted in pairs and as a real number.
double pair_that_turns(const RopeSpec& spec, std::int64_t head_dim, double turns) {
  const double wavelength = spec.original_context / turns;
  return 0.5 * static_cast<double>(head_dim) * std::log(wavelength / (2 * std::numbers::pi)) / std::log(spec.theta);
}

double yarn(const RopeSpec& spec, std::int64_t head_dim, std::int64_t pair) {
  double first = pair_that_turns(spec, head_dim, spec.beta_fast);
  double last = pair_that_turns(spec, head_dim, spec.beta_slow);
  if (spec.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(head_dim) - 1);
  const double stretched = std::min(1.0, std::max(0.0, (static_cast<double>(pair) - first) / (last - first)));
  const double frequency = plain(spec.theta, pair, head_dim);
  return frequency * (1 - stretched) + frequency / spec.factor * stretched;
}

TEST(RopeTest, Yarn) {
  for (const bool truncate : {true, false}) {
    for (const double factor : {4.0, 40.0}) {
      for (const std::int64_t head_dim : {64, 128}) {
        RopeSpec spec = spec_of(RopeKind::yarn, 1'000'000, factor, 32'768);
        spec.truncate = truncate;
        const RopeTable table = make_rope_table(spec, head_dim);
        for (std::int64_t pair = 0; pair < head_dim / 2; ++pair) {
          expect_close(table.frequencies[static_cast<std::size_t>(pair)], yarn(spec, head_dim, pair), pair);
        }
        // The paper's promise: fast pairs are as trained, slow ones are interpolated fully.
        expect_close(table.frequencies.front(), 1.0, 0);
        const std::int64_t last = head_dim / 2 - 1;
        expect_close(table.frequencies.back(), plain(spec.theta, last, head_dim) / factor, last);
      }
    }
  }
}

TEST(RopeTest, YarnWithOtherBetas) {
  RopeSpec spec = spec_of(RopeKind::yarn, 10'000, 16, 4096);
  spec.beta_fast = 20;
  spec.beta_slow = 2;
  const RopeTable table = make_rope_table(spec, 96);
  for (std::int64_t pair = 0; pair < 48; ++pair) {
    expect_close(table.frequencies[static_cast<std::size_t>(pair)], yarn(spec, 96, pair), pair);
  }
}

TEST(RopeTest, YarnMagnitude) {
  RopeSpec spec = spec_of(RopeKind::yarn, 1'000'000, 4, 32'768);
  const auto magnitude = [&] { return static_cast<double>(make_rope_table(spec, 128).magnitude); };
  EXPECT_NEAR(magnitude(), 0.1 * std::log(4.0) + 1, 1e-6);
  spec.mscale = 0.707;
  EXPECT_NEAR(magnitude(), 0.1 * std::log(4.0) + 1, 1e-6) << "mscale alone says nothing";
  spec.mscale_all_dim = 1;
  EXPECT_NEAR(magnitude(), (0.1 * 0.707 * std::log(4.0) + 1) / (0.1 * std::log(4.0) + 1), 1e-6);
  spec.attention_factor = 1.25;
  EXPECT_EQ(magnitude(), 1.25);
  spec.attention_factor.reset();
  spec.mscale = spec.mscale_all_dim = 0;
  spec.factor = 1;
  EXPECT_EQ(magnitude(), 1.0);
}

// A context so short that every pair turns too slowly: the ramp has no width, and everything is interpolated.
TEST(RopeTest, YarnOfATinyContextIsFinite) {
  const RopeSpec spec = spec_of(RopeKind::yarn, 10'000, 2, 4);
  for (const float frequency : make_rope_table(spec, 16).frequencies) {
    EXPECT_TRUE(std::isfinite(frequency));
    EXPECT_GT(frequency, 0);
  }
}

TEST(RopeTest, RoundedFrequenciesAreTheNearestBf16) {
  RopeSpec spec = spec_of(RopeKind::standard, 1'000'000, 1, 0);
  const std::vector<float> exact = make_rope_table(spec, 128).frequencies;
  spec.rounded = true;
  const std::vector<float> rounded = make_rope_table(spec, 128).frequencies;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &rounded[i], sizeof bits);
    EXPECT_EQ(bits & 0xffffU, 0U);
    // bf16 has 8 significant bits: half a unit in the last place.
    EXPECT_LE(std::abs(rounded[i] - exact[i]), std::ldexp(1.0F, std::ilogb(exact[i]) - 8));
  }
}

}  // namespace
}  // namespace precis::test
