// What a sampler makes of a device's candidates is what it makes of all logits.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "backend/factory.h"
#include "device/device.h"
#include "device/ops.h"
#include "runtime/sampler.h"
#include "support/random.h"

namespace precis::test {
namespace {

using Logits = std::vector<float>;
constexpr float infinity = std::numeric_limits<float>::infinity();

RowDraw found(const Logits& logits, const DrawOptions& options) {
  static const std::unique_ptr<Device> reference = open_backend("reference", {});
  std::int32_t id = 0;
  RowDraw draw{};
  reference->ops().draw({logits.data(), &options, &id, &draw, 1, static_cast<std::int64_t>(logits.size())});
  return draw;
}

// Logits that often are equal, or are once they are scaled.
Logits random_logits(Random& random, std::int64_t size) {
  const double spread = random.pick<double>({0.001, 1, 8, 30, 1e4});
  const double steps = random.pick<double>({7, 300, 1e9});
  Logits logits;
  for (std::int64_t i = 0; i < size; ++i) {
    logits.push_back(static_cast<float>((std::floor(random.unit() * steps) / steps - 0.5) * spread));
  }
  if (random.chance(0.2)) logits[0] = std::numeric_limits<float>::quiet_NaN();
  if (random.chance(0.2)) {
    for (float& logit : logits) logit = random.chance(0.7) ? -infinity : logit;
  }
  if (random.chance(0.05)) logits.back() = infinity;
  return logits;
}

SamplingOptions random_options(Random& random) {
  SamplingOptions options;
  options.temperature = random.pick<float>({0.1F, 0.7F, 1.0F, 1.3F, 3.0F, 1e-20F});
  if (random.chance(0.4)) options.top_k = static_cast<int>(random.between(1, random.chance(0.8) ? 100 : 400));
  if (random.chance(0.5)) options.top_p = static_cast<float>(random.between(1, 100)) / 100;
  if (random.chance(0.1)) options.temperature = 0;
  if (random.chance(0.4)) options.min_p = static_cast<float>(random.between(0, 100)) / 100;
  return options;
}

// Such as make no logit larger.
void penalise(SamplingOptions& options, Random& random, std::int64_t vocabulary) {
  if (random.chance(0.6)) options.repetition_penalty = random.pick<float>({1.05F, 1.3F, 5.0F});
  if (random.chance(0.4)) options.presence_penalty = random.pick<float>({0.3F, 1.5F});
  if (random.chance(0.4)) options.frequency_penalty = random.pick<float>({0.01F, 0.7F});
  for (std::int64_t i = random.between(0, 3); i > 0; --i) {
    options.logit_bias.emplace_back(static_cast<std::int32_t>(random.below(vocabulary)),
                                    random.pick<float>({-1.0F, 0.0F, -infinity}));
  }
}

// As a device that finds fewer.
void shorten(RowDraw& draw, std::int64_t count) {
  if (count >= draw.count) return;
  draw.count = static_cast<std::int32_t>(count);
  draw.holds_all = 0;
}

TEST(DeviceDrawTest, GivesWhatTheWholeRowGives) {
  int told = 0;
  int asked = 0;
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Logits logits = random_logits(random, random.between(1, random.chance(0.5) ? 60 : 900));
    const auto vocabulary = static_cast<std::int64_t>(logits.size());
    SamplingOptions options = random_options(random);
    if (random.chance(0.4)) penalise(options, random, vocabulary);
    std::vector<std::int32_t> prompt;
    for (std::int64_t i = random.between(0, 50); i > 0; --i) {
      prompt.push_back(static_cast<std::int32_t>(random.below(vocabulary + 5)));
    }
    Sampler of_row(options, prompt, seed);
    Sampler of_draw(options, prompt, seed);
    for (std::int64_t i = random.between(0, 20); i > 0; --i) {
      const auto id = static_cast<std::int32_t>(random.below(vocabulary));
      of_row.take(id), of_draw.take(id);
    }
    const DrawOptions wanted = of_draw.draw_options();
    const std::int32_t expected = of_row.sample(logits);
    if (wanted.wants == DrawWants::nothing) continue;
    RowDraw draw = found(logits, wanted);
    if (random.chance(0.3)) shorten(draw, random.between(0, 100));
    ++asked;
    std::optional<std::int32_t> id = of_draw.sample(draw);
    told += id ? 1 : 0;
    if (!id) id = of_draw.sample(logits);
    ASSERT_EQ(*id, expected);
    // Both stand at the same place of the answer.
    ASSERT_EQ(of_draw.sample(logits), of_row.sample(logits));
  }
  EXPECT_GT(asked, 12'000);
  EXPECT_GT(told, asked / 2);
}

TEST(DeviceDrawTest, CandidatesAreEnoughForCommonOptions) {
  Random random(1);
  SamplingOptions options;
  options.temperature = 0.7F;
  options.top_p = 0.8F;
  for (const int top_k : {0, 20, 200}) {
    options.top_k = top_k;
    for (int i = 0; i < 20; ++i) {
      Logits logits;
      // A few thousand of small probability beside some hundred likely ones.
      for (int id = 0; id < 5000; ++id) logits.push_back(static_cast<float>(random.unit() * (id % 25 == 7 ? 14 : 4)));
      Sampler sampler(options, {}, 3);
      EXPECT_TRUE(sampler.sample(found(logits, sampler.draw_options()))) << top_k;
    }
  }
}

TEST(DeviceDrawTest, EqualsAtTheEdgeNeedTheWholeRow) {
  SamplingOptions options;
  options.top_k = 3;
  Sampler sampler(options, {}, 1);
  // Ids outside may be scaled to what the last candidate is scaled to, and be smaller.
  RowDraw draw = found(Logits{5, 4, 4, 4, 3}, sampler.draw_options());
  EXPECT_EQ(draw.holds_all, 1);
  shorten(draw, 4);
  EXPECT_FALSE(sampler.sample(draw));
  draw.count = 5;
  EXPECT_TRUE(sampler.sample(draw));
  shorten(draw, 0);
  EXPECT_FALSE(sampler.sample(draw));
}

TEST(DeviceDrawTest, NothingIsAskedForWhereTheDeviceCannotTell) {
  const auto wants = [](auto change) {
    SamplingOptions options;
    change(options);
    return Sampler(options, {}, 1).draw_options().wants;
  };
  EXPECT_EQ(wants([](SamplingOptions&) {}), DrawWants::id);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.min_p = 0.1F; }), DrawWants::id);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.top_p = 0.9F; }), DrawWants::candidates_and_sum);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.top_k = 40; }), DrawWants::candidates);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.top_k = 256; }), DrawWants::nothing);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.temperature = 0; }), DrawWants::nothing);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.presence_penalty = 1; }), DrawWants::nothing);
  const auto wants_few = [&](float repetition, float presence, float bias, int top_k) {
    return wants([=](SamplingOptions& options) {
      options.top_k = top_k;
      options.repetition_penalty = repetition;
      options.presence_penalty = presence;
      options.logit_bias = {{3, bias}};
    });
  };
  EXPECT_EQ(wants_few(1.1F, 0, -1, 1), DrawWants::candidates);
  EXPECT_EQ(wants_few(1.1F, 1, 0, 40), DrawWants::candidates);
  EXPECT_EQ(wants_few(0.9F, 0, 0, 40), DrawWants::nothing);
  EXPECT_EQ(wants_few(1.1F, -1, 0, 40), DrawWants::nothing);
  EXPECT_EQ(wants_few(1.1F, 0, 1, 40), DrawWants::nothing);
  EXPECT_EQ(wants([](SamplingOptions& options) { options.logit_bias = {{0, 1.0F}}; }), DrawWants::nothing);
}

}  // namespace
}  // namespace precis::test
