#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "support/random.h"

namespace precis::test {
namespace {

using Logits = std::vector<float>;
constexpr float infinity = std::numeric_limits<float>::infinity();

SamplingOptions at(float temperature) {
  SamplingOptions options;
  options.temperature = temperature;
  return options;
}

Logits random_logits(Random& random, std::int64_t size, double spread) {
  Logits logits(static_cast<std::size_t>(size));
  for (float& logit : logits) logit = static_cast<float>((random.unit() - 0.5) * spread);
  return logits;
}

// softmax(logits / temperature), in double.
std::vector<double> probabilities(const Logits& logits, double temperature) {
  const double best = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  std::vector<double> result;
  double sum = 0;
  for (const float logit : logits)
    sum += result.emplace_back(std::exp((static_cast<double>(logit) - best) / temperature));
  for (double& probability : result) probability /= sum;
  return result;
}

double chi_square(const std::vector<std::int64_t>& counts, const std::vector<double>& expected) {
  const auto draws = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double mean = draws * expected[i];
    sum += (static_cast<double>(counts[i]) - mean) * (static_cast<double>(counts[i]) - mean) / mean;
  }
  return sum;
}

TEST(SamplerTest, GreedyFindsTheMostLikelyWhereverItStands) {
  Random random(7);
  Sampler sampler(at(0), {}, 1);
  for (const std::int64_t size : {1, 31, 32, 33, 100}) {
    for (std::int64_t place = 0; place < size; ++place) {
      Logits logits = random_logits(random, size, 10);
      logits[static_cast<std::size_t>(place)] = 6;
      EXPECT_EQ(sampler.sample(logits), place) << size;
    }
  }
}

TEST(SamplerTest, GreedyTakesTheMostLikelyAndOfEqualsTheFirst) {
  Sampler sampler(at(0), {}, 1);
  EXPECT_EQ(sampler.sample(Logits{1, 3, 2}), 1);
  EXPECT_EQ(sampler.sample(Logits{1, 3, 3, 3}), 1);
  EXPECT_EQ(sampler.sample(Logits{-infinity, -5, -infinity}), 1);
  EXPECT_EQ(sampler.sample(Logits{-0.0F, 0.0F}), 0);
  EXPECT_EQ(sampler.sample(Logits{4}), 0);
  SamplingOptions only_one = at(5);
  only_one.top_k = 1;
  for (std::uint64_t seed = 0; seed < 50; ++seed) EXPECT_EQ(Sampler(only_one, {}, seed).sample(Logits{1, 3, 3}), 1);
}

// 7 degrees of freedom: a right sampler is above 40 once in a million runs, and these runs are always the same.
TEST(SamplerTest, DrawsFollowTheProbabilities) {
  const Logits logits{0, 1, -1, 2, 0.5F, 1.5F, -2, 0};
  for (const float temperature : {0.5F, 1.0F, 2.0F}) {
    const auto expected = probabilities(logits, static_cast<double>(temperature));
    std::vector<std::int64_t> of_one(logits.size(), 0);
    std::vector<std::int64_t> of_many(logits.size(), 0);
    Sampler sampler(at(temperature), {}, 42);
    for (std::uint64_t i = 0; i < 50'000; ++i) {
      ++of_one[static_cast<std::size_t>(sampler.sample(logits))];
      ++of_many[static_cast<std::size_t>(Sampler(at(temperature), {}, i).sample(logits))];
    }
    EXPECT_LT(chi_square(of_one, expected), 40) << "one seed, temperature " << temperature;
    EXPECT_LT(chi_square(of_many, expected), 40) << "a seed a draw, temperature " << temperature;
  }
}

// Draws of one seed, and first draws of neighbouring seeds, say nothing about each other.
TEST(SamplerTest, NeighbouringDrawsAreIndependent) {
  const Logits logits(4, 0.0F);
  const std::vector<double> expected(16, 1.0 / 16);
  std::vector<std::int64_t> in_turn(16, 0);
  std::vector<std::int64_t> by_seed(16, 0);
  Sampler sampler(at(1), {}, 7);
  for (std::uint64_t i = 0; i < 40'000; ++i) {
    const std::int32_t first = sampler.sample(logits);
    ++in_turn[static_cast<std::size_t>(first * 4 + sampler.sample(logits))];
    const std::int32_t low = Sampler(at(1), {}, 2 * i).sample(logits);
    ++by_seed[static_cast<std::size_t>(low * 4 + Sampler(at(1), {}, 2 * i + 1).sample(logits))];
  }
  EXPECT_LT(chi_square(in_turn, expected), 55);
  EXPECT_LT(chi_square(by_seed, expected), 55);
}

// The ids that top-k, then top-p among those, then min-p among those leave: by sorting everything.
std::set<std::int32_t> kept_ids(const Logits& logits, const SamplingOptions& options, double p, double min_p) {
  std::vector<std::pair<double, std::int32_t>> order;
  const auto all = probabilities(logits, static_cast<double>(options.temperature));
  for (std::size_t id = 0; id < all.size(); ++id) order.emplace_back(-all[id], static_cast<std::int32_t>(id));
  // Equal logits have equal probabilities, so the smaller id comes first.
  std::sort(order.begin(), order.end());
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < order.size()) {
    order.resize(static_cast<std::size_t>(options.top_k));
  }
  double sum = 0;
  for (const auto& [probability, id] : order) sum -= probability;
  if (p < 1) {
    double reached = 0;
    std::size_t count = 0;
    while (count < order.size() && reached < p * sum) reached -= order[count++].first;
    order.resize(std::max<std::size_t>(count, 1));
  }
  std::set<std::int32_t> kept;
  for (const auto& [probability, id] : order) {
    if (-probability >= min_p * -order.front().first) kept.insert(id);
  }
  return kept;
}

// Every id that must be kept is drawn in time, and none that must not. Where rounding may decide (a sum within 1e-5 of
// top_p) both are allowed.
void compare_kept(const Logits& logits, const SamplingOptions& options, std::uint64_t seed, int draws) {
  const double p = static_cast<double>(options.top_p);
  const double min_p = static_cast<double>(options.min_p);
  const auto must = kept_ids(logits, options, p < 1 ? p - 1e-5 : 1, min_p * (1 + 1e-5));
  const auto may = kept_ids(logits, options, p < 1 ? p + 1e-5 : 1, min_p * (1 - 1e-5));
  Sampler sampler(options, {}, seed);
  std::set<std::int32_t> drawn;
  for (int i = 0; i < draws; ++i) drawn.insert(sampler.sample(logits));
  EXPECT_TRUE(std::includes(may.begin(), may.end(), drawn.begin(), drawn.end())) << "an id too many";
  EXPECT_TRUE(std::includes(drawn.begin(), drawn.end(), must.begin(), must.end())) << "an id is missing";
}

TEST(SamplerTest, TopKTopPAndMinPKeepWhatSortingKeeps) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    // No probability below 1/1000: 15,000 draws miss one of them once in three million.
    Logits logits = random_logits(random, random.between(1, 40), 2.5);
    if (random.chance(0.5)) logits[0] = logits[logits.size() - 1];  // a tie
    SamplingOptions options = at(random.pick<float>({0.8F, 1.0F, 3.0F}));
    if (random.chance(0.6)) options.top_k = static_cast<int>(random.between(1, 45));
    if (random.chance(0.6)) options.top_p = static_cast<float>(random.between(1, 100)) / 100;
    if (random.chance(0.6)) options.min_p = static_cast<float>(random.between(0, 100)) / 100;
    compare_kept(logits, options, seed, 15'000);
    if (HasFailure()) return;
  }
}

// As many candidates as sorting by parts has to take several parts for, each about as likely as another.
TEST(SamplerLongTest, LargeVocabulariesKeepWhatSortingKeeps) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Logits logits = random_logits(random, 1500, 1);
    SamplingOptions options = at(1);
    options.top_p = random.pick<float>({0.1F, 0.17F, 0.5F, 0.68F, 0.9F, 0.99F});
    if (random.chance(0.3)) options.top_k = static_cast<int>(random.between(200, 1499));
    if (random.chance(0.3)) options.min_p = 0.5F;
    compare_kept(logits, options, seed, 60'000);
  }
}

TEST(SamplerTest, EqualLogitsAtTheEdgeKeepTheSmallerIds) {
  const Logits logits(300, 0.0F);
  SamplingOptions options = at(1);
  options.top_k = 3;
  compare_kept(logits, options, 1, 2000);
  EXPECT_EQ(kept_ids(logits, options, 1, 0), (std::set<std::int32_t>{0, 1, 2}));
  options.top_k = 0;
  options.top_p = 0.0101F;  // four of 300
  compare_kept(logits, options, 1, 2000);
  EXPECT_EQ(kept_ids(logits, options, 0.0101, 0), (std::set<std::int32_t>{0, 1, 2, 3}));
}

TEST(SamplerTest, MinPIsMeasuredAfterTemperature) {
  const Logits logits{0, -2};  // 1 and 0.135 times as likely; at temperature 4, 0.607 times
  SamplingOptions options = at(1);
  options.min_p = 0.5F;
  Sampler cold(options, {}, 3);
  options.temperature = 4;
  Sampler hot(options, {}, 3);
  std::set<std::int32_t> of_cold;
  std::set<std::int32_t> of_hot;
  for (int i = 0; i < 500; ++i) {
    of_cold.insert(cold.sample(logits));
    of_hot.insert(hot.sample(logits));
  }
  EXPECT_EQ(of_cold.size(), 1U);
  EXPECT_EQ(of_hot.size(), 2U);
}

// Bias and penalties as request.h says, in double.
std::vector<double> adjusted(const Logits& logits, const SamplingOptions& options,
                             const std::vector<std::int32_t>& prompt, const std::vector<std::int32_t>& answer) {
  std::vector<double> result(logits.begin(), logits.end());
  for (const auto& [id, bias] : options.logit_bias) result[static_cast<std::size_t>(id)] += static_cast<double>(bias);
  for (std::size_t id = 0; id < result.size(); ++id) {
    const auto times = std::count(answer.begin(), answer.end(), static_cast<std::int32_t>(id));
    const bool seen = times > 0 || std::count(prompt.begin(), prompt.end(), static_cast<std::int32_t>(id)) > 0;
    const auto penalty = static_cast<double>(options.repetition_penalty);
    if (seen) result[id] = result[id] > 0 ? result[id] / penalty : result[id] * penalty;
    if (times > 0) result[id] -= static_cast<double>(options.presence_penalty);
    result[id] -= static_cast<double>(options.frequency_penalty) * static_cast<double>(times);
  }
  return result;
}

TEST(SamplerTest, PenaltiesAndBiasFollowTheirFormulas) {
  int changed = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::int64_t vocabulary = random.between(2, 12);
    SamplingOptions options = at(0);
    if (random.chance(0.7)) options.repetition_penalty = random.pick<float>({0.8F, 1.1F, 1.5F, 3.0F});
    if (random.chance(0.5)) options.presence_penalty = random.pick<float>({-0.5F, 0.3F, 1.0F});
    if (random.chance(0.5)) options.frequency_penalty = random.pick<float>({-0.1F, 0.2F, 0.7F});
    for (std::int64_t i = random.between(0, 3); i > 0; --i) {
      options.logit_bias.emplace_back(static_cast<std::int32_t>(random.below(vocabulary)),
                                      random.pick<float>({-1.0F, 0.5F, 2.0F}));
    }
    std::vector<std::int32_t> prompt{static_cast<std::int32_t>(vocabulary)};  // an id that is never predicted
    for (std::int64_t i = random.between(0, 4); i > 0; --i) {
      prompt.push_back(static_cast<std::int32_t>(random.below(vocabulary)));
    }
    Sampler sampler(options, prompt, seed);
    std::vector<std::int32_t> answer;
    for (int i = 0; i < 60; ++i) {
      const Logits logits = random_logits(random, vocabulary, 6);
      const auto expected = adjusted(logits, options, prompt, answer);
      const std::int32_t id = sampler.sample(logits);
      // The best, or as good as the best where rounding may decide.
      ASSERT_GE(expected[static_cast<std::size_t>(id)], *std::max_element(expected.begin(), expected.end()) - 1e-5);
      changed += id != std::max_element(logits.begin(), logits.end()) - logits.begin() ? 1 : 0;
      answer.push_back(id);
    }
  }
  EXPECT_GT(changed, 1000) << "the settings hardly ever changed the choice";
}

TEST(SamplerTest, PenaltiesChangeTheProbabilitiesOfADraw) {
  SamplingOptions options = at(1);
  options.repetition_penalty = 2;
  options.logit_bias = {{3, 1.0F}};
  const std::vector<std::int32_t> prompt{0, 2};
  const Logits logits{2, 1, -1, 0};
  const auto as_double = adjusted(logits, options, prompt, {});
  const auto expected = probabilities(Logits(as_double.begin(), as_double.end()), 1);
  std::vector<std::int64_t> counts(4, 0);
  for (std::uint64_t seed = 0; seed < 40'000; ++seed) {
    ++counts[static_cast<std::size_t>(Sampler(options, prompt, seed).sample(logits))];
  }
  EXPECT_LT(chi_square(counts, expected), 35);
}

TEST(SamplerTest, ForbiddenIdsAreNeverDrawn) {
  SamplingOptions options = at(2);
  options.logit_bias = {{0, -infinity}, {2, -infinity}};
  Sampler sampler(options, {}, 5);
  std::set<std::int32_t> drawn;
  for (int i = 0; i < 2000; ++i) drawn.insert(sampler.sample(Logits{9, 1, 9, 1}));
  EXPECT_EQ(drawn, (std::set<std::int32_t>{1, 3}));
  options.temperature = 0;
  EXPECT_EQ(Sampler(options, {}, 5).sample(Logits{9, 1, 9, 2}), 3);
  options.repetition_penalty = 1.5F;
  const std::vector<std::int32_t> prompt{0, 2};
  EXPECT_EQ(Sampler(options, prompt, 5).sample(Logits{9, 1, 9, 2}), 3);
}

TEST(SamplerTest, ExtremeLogitsStillGiveAnId) {
  SamplingOptions everything_forbidden = at(1);
  everything_forbidden.logit_bias = {{0, -infinity}, {1, -infinity}};
  SamplingOptions one_forced = at(1);
  one_forced.logit_bias = {{1, infinity}};
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const std::int32_t id = Sampler(everything_forbidden, {}, seed).sample(Logits{1, 2});
    EXPECT_TRUE(id == 0 || id == 1);
    EXPECT_EQ(Sampler(one_forced, {}, seed).sample(Logits{100, -100, 100}), 1);
    EXPECT_EQ(Sampler(at(1e-30F), {}, seed).sample(Logits{1, 2, 1.5F}), 1);
    EXPECT_EQ(Sampler(at(1), {}, seed).sample(Logits{-3e38F, 3e38F}), 1);
    SamplingOptions all_but_none = at(1);
    all_but_none.top_p = 1e-6F;
    EXPECT_EQ(Sampler(all_but_none, {}, seed).sample(Logits{1, 1.1F, 1}), 1);
  }
}

TEST(SamplerTest, TheSameSeedDrawsTheSame) {
  Random random(3);
  SamplingOptions options = at(1);
  options.frequency_penalty = 0.3F;
  options.top_p = 0.9F;
  Sampler first(options, {}, 11);
  Sampler second(options, {}, 11);
  Sampler other(options, {}, 12);
  int different = 0;
  for (int i = 0; i < 200; ++i) {
    const Logits logits = random_logits(random, 50, 4);
    const std::int32_t id = first.sample(logits);
    ASSERT_EQ(id, second.sample(logits));
    different += id != other.sample(logits) ? 1 : 0;
  }
  EXPECT_GT(different, 100);
}

// The n-th draw depends on seed, n and its own logits: not on the logits before, nor on who else draws meanwhile.
TEST(SamplerTest, ADrawDependsOnSeedAndPlaceAlone) {
  Random random(4);
  Sampler alone(at(1), {}, 99);
  Sampler beside(at(1), {}, 99);
  Sampler neighbour(at(1), {}, 100);
  for (int i = 0; i < 100; ++i) {
    const Logits common = random_logits(random, 60, 3);
    ASSERT_EQ(alone.sample(common), beside.sample(common));
    neighbour.sample(common);
    alone.sample(random_logits(random, 60, 3));
    beside.sample(random_logits(random, 17, 9));
    neighbour.sample(common);
  }
}

TEST(LogprobsTest, AgreeWithASoftmaxInDouble) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Logits logits = random_logits(random, random.between(1, 200), 20);
    for (float& logit : logits) {
      if (random.chance(0.1)) logit = logits[0];  // ties
    }
    const auto expected = probabilities(logits, 1);
    const auto id = static_cast<std::int32_t>(random.below(static_cast<std::int64_t>(logits.size())));
    const int count = static_cast<int>(random.between(0, 210));
    const Logprobs result = logprobs_of(logits, id, count);
    EXPECT_NEAR(static_cast<double>(result.chosen), std::log(expected[static_cast<std::size_t>(id)]), 1e-5);
    std::vector<std::int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    ASSERT_EQ(result.top.size(), std::min(logits.size(), static_cast<std::size_t>(count)));
    for (std::size_t i = 0; i < result.top.size(); ++i) {
      EXPECT_EQ(result.top[i].id, order[i]);
      EXPECT_NEAR(static_cast<double>(result.top[i].logprob), std::log(expected[static_cast<std::size_t>(order[i])]),
                  1e-5);
    }
  }
}

TEST(LogprobsTest, ImpossibleIdsHaveMinusInfinity) {
  const Logprobs result = logprobs_of(Logits{-infinity, 0, 0}, 0, 3);
  EXPECT_EQ(result.chosen, -infinity);
  EXPECT_EQ(result.top[0].id, 1);
  EXPECT_NEAR(static_cast<double>(result.top[0].logprob), -std::log(2.0), 1e-6);
  EXPECT_EQ(result.top[2].logprob, -infinity);
}

TEST(SamplingOptionsTest, ValuesOutsideTheirRangeAreRefusedByName) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const char* name, const std::function<void(SamplingOptions&)>& change) {
    SamplingOptions options;
    change(options);
    try {
      validate(options, 100);
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("expected"), std::string::npos) << error.what();
    }
  };
  for (const float value : {-0.1F, nan, infinity}) {
    refused("temperature", [&](SamplingOptions& options) { options.temperature = value; });
  }
  refused("top_k", [](SamplingOptions& options) { options.top_k = -1; });
  for (const float value : {0.0F, -1.0F, 1.01F, nan}) {
    refused("top_p", [&](SamplingOptions& options) { options.top_p = value; });
  }
  for (const float value : {-0.01F, 1.01F, nan}) {
    refused("min_p", [&](SamplingOptions& options) { options.min_p = value; });
  }
  for (const float value : {0.0F, -1.0F, nan, infinity}) {
    refused("repetition_penalty", [&](SamplingOptions& options) { options.repetition_penalty = value; });
  }
  for (const float value : {nan, infinity, -infinity}) {
    refused("presence_penalty", [&](SamplingOptions& options) { options.presence_penalty = value; });
    refused("frequency_penalty", [&](SamplingOptions& options) { options.frequency_penalty = value; });
  }
  refused("logit_bias", [](SamplingOptions& options) { options.logit_bias = {{-1, 0.0F}}; });
  refused("logit_bias", [](SamplingOptions& options) { options.logit_bias = {{100, 0.0F}}; });
  refused("logit_bias", [&](SamplingOptions& options) { options.logit_bias = {{5, nan}}; });
}

TEST(SamplingOptionsTest, TheEdgesOfTheRangesAreAccepted) {
  SamplingOptions options;
  EXPECT_NO_THROW(validate(options, 1));
  options.temperature = 0;
  options.top_k = 1 << 30;
  options.top_p = 1e-7F;
  options.min_p = 1;
  options.repetition_penalty = 0.01F;
  options.presence_penalty = -2;
  options.frequency_penalty = -2;
  options.logit_bias = {{0, -infinity}, {99, infinity}, {99, 1.0F}};
  EXPECT_NO_THROW(validate(options, 100));
}

}  // namespace
}  // namespace precis::test
