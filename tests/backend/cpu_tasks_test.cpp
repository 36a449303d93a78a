// How the CPU backend's workers share a product, and what they fetch ahead of the next.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "backend/cpu/linear_tasks.h"
#include "backend/cpu/weights_ahead.h"

namespace precis::cpu {
namespace {

TEST(SharesTest, HandOutEveryTaskOnce) {
  std::mt19937 random(1);
  for (const int workers : {1, 2, 3, 7, 64, 65, 200}) {
    for (const std::int64_t count : {0, 1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 130, 1000, 5000}) {
      Shares shares(count, workers);
      std::multiset<std::int64_t> tasks;
      std::set<int> busy;
      for (int worker = 0; worker < workers; ++worker) busy.insert(worker);
      while (!busy.empty()) {
        const int worker = *std::next(busy.begin(), static_cast<std::ptrdiff_t>(random() % busy.size()));
        const Shares::Share share = shares.next(worker);
        EXPECT_LE(share.last - share.first, shares.longest());
        for (std::int64_t task = share.first; task < share.last; ++task) tasks.insert(task);
        if (share.first == share.last) busy.erase(worker);
      }
      ASSERT_EQ(tasks.size(), static_cast<std::size_t>(count)) << workers << " workers";
      EXPECT_EQ(std::set<std::int64_t>(tasks.begin(), tasks.end()).size(), tasks.size()) << workers << " workers";
      if (count > 0) {
        EXPECT_EQ(*tasks.begin(), 0);
        EXPECT_EQ(*tasks.rbegin(), count - 1);
      }
    }
  }
}

TEST(SharesTest, AWorkersFirstShareIsTheSameWhenItComesFirstAndWhenItComesLast) {
  for (const int workers : {2, 5}) {
    for (int first = 0; first < workers; ++first) {
      Shares shares(1000, workers);
      for (int i = 0; i < workers; ++i) {
        const int worker = (first + i) % workers;
        EXPECT_EQ(shares.next(worker).first, worker * shares.longest());
      }
    }
  }
}

TEST(SharesTest, OthersTakeTheShareOfAWorkerWhoDoesNotCome) {
  Shares shares(1000, 3);
  std::int64_t tasks = 0;
  for (Shares::Share share = shares.next(1); share.first < share.last; share = shares.next(1)) {
    tasks += share.last - share.first;
  }
  EXPECT_EQ(tasks, 1000);
  const Shares::Share late = shares.next(0);
  EXPECT_EQ(late.first, late.last);
}

FirstWeights weights_at(const std::byte* values, std::int64_t stream_values) {
  return {.values = values, .scales = nullptr, .streams = 2, .stream_values = stream_values, .stream_scales = 0};
}

TEST(WeightsAheadTest, WhatFollowedAProductIsExpectedAfterIt) {
  const std::byte matrices[3] = {};
  WeightsAhead ahead;
  EXPECT_EQ(ahead.begin(&matrices[0], 2).following, nullptr);
  ahead.begin(&matrices[1], 2);
  ahead.begin(&matrices[2], 2);
  const WeightsAhead::Product& first = ahead.begin(&matrices[0], 2);
  ASSERT_NE(first.following, nullptr);
  const WeightsAhead::Product* second = first.following;
  EXPECT_EQ(&ahead.begin(&matrices[1], 2), second);
  ahead.begin(&matrices[0], 2);
  EXPECT_EQ(second->following, &first);  // it changed its mind
}

TEST(WeightsAheadTest, FetchesToTheEndOfAStreamAndNoFurtherThanAWaitLasts) {
  const std::vector<std::byte> memory(1 << 20);
  WeightsAhead ahead;
  WeightsAhead::Product& product = ahead.begin(memory.data(), 2);
  EXPECT_FALSE(WeightsAhead::fetch(product, 0, 0));  // nobody has read it yet
  product.first[1] = weights_at(memory.data(), 1000);
  const auto bits = [&](int worker) {
    int bit = 0;
    while (WeightsAhead::fetch(product, worker, bit)) ++bit;
    return bit;
  };
  EXPECT_EQ(bits(1), 4);  // 256 bytes each
  product.first[1] = weights_at(memory.data(), 1 << 19);
  EXPECT_EQ(bits(1), 96);  // 24 KiB
  EXPECT_EQ(bits(0), 0);
}

}  // namespace
}  // namespace precis::cpu
