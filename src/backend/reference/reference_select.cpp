// Efficient selective attention: device/select_args.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/reference/elements.h"
#include "backend/reference/reference_ops.h"

namespace precis::reference {
namespace {

constexpr double least = -std::numeric_limits<double>::infinity();

double number(double value) {
  return std::isnan(value) ? least : value;
}

std::int32_t page_of(const TrackPages& track, std::int64_t entry, std::int64_t page_entries) {
  return track.pages[entry / page_entries - track.first_page];
}

// f of one row and all that can be chosen.
std::vector<double> row_scores(const float* q, const PickRun& run, const KvView& kv) {
  std::vector<double> scores;
  for (std::int64_t entry = run.initial; entry < run.local; ++entry) {
    const std::byte* key = kv.short_key(page_of(run.track, entry, kv.page_entries), entry % kv.page_entries);
    double score = 0;
    for (std::int64_t d = 0; d < kv.short_dim; ++d) {
      score += static_cast<double>(q[d]) * element(key, kv.short_type(), d);
    }
    scores.push_back(number(score));
  }
  return scores;
}

// F of a run.
std::vector<double> run_scores(const SelectArgs& args, const PickRun& run) {
  std::vector<double> best(static_cast<std::size_t>(run.middle()), least);
  for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
    const std::vector<double> scores = row_scores(args.q + row * args.kv.short_dim, run, args.kv);
    const double largest = run.rows == 1 ? 0 : *std::ranges::max_element(scores);
    for (std::size_t i = 0; i < best.size(); ++i) best[i] = std::max(best[i], number(scores[i] - largest));
  }
  return best;
}

// The largest within `reach` places of each.
std::vector<double> spread(const std::vector<double>& scores, std::int64_t reach) {
  std::vector<double> wide;
  const auto size = static_cast<std::int64_t>(scores.size());
  for (std::int64_t i = 0; i < size; ++i) {
    const auto first = scores.begin() + std::max<std::int64_t>(0, i - reach);
    wide.push_back(*std::max_element(first, scores.begin() + std::min(size, i + reach + 1)));
  }
  return wide;
}

// cos and sin of the angle from position `from` to `to`.
std::vector<float> rotation_between(const float* rotations, std::int64_t from, std::int64_t to, std::int64_t half) {
  const float* a = rotations + from * 2 * half;
  const float* b = rotations + to * 2 * half;
  std::vector<float> rotation(static_cast<std::size_t>(2 * half));
  for (std::int64_t i = 0; i < half; ++i) {
    rotation[static_cast<std::size_t>(i)] = b[i] * a[i] + b[half + i] * a[half + i];
    rotation[static_cast<std::size_t>(half + i)] = b[half + i] * a[i] - b[i] * a[half + i];
  }
  return rotation;
}

// Where picked entry `index` of a run, which is `entry` of its track, goes.
std::int32_t picked_position(const PickArgs& args, const PickRun& run, std::int32_t index) {
  return args.turn == KeyTurn::to_origin ? 0 : args.positions(run.local - run.chosen() + index);
}

}  // namespace

void ReferenceOps::keep_short(const KeepShortArgs& args) {
  const KvView& kv = args.kv;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const std::int64_t slot = args.slots[row];
    if (slot < 0) continue;
    std::byte* key = kv.short_key(slot / kv.page_entries, slot % kv.page_entries);
    for (std::int64_t d = 0; d < kv.short_dim; ++d) {
      set_element(key, kv.short_type(), d, args.x[row * kv.short_dim + d]);
    }
  }
}

void ReferenceOps::select(const SelectArgs& args) {
  for (const PickRun& run : args.runs) {
    const std::vector<double> scores = spread(run_scores(args, run), args.proximity);
    std::vector<std::int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    order.resize(static_cast<std::size_t>(run.top));
    std::ranges::sort(order);
    std::int32_t* list = args.list + run.first_page * args.kv.page_entries;
    std::iota(list, list + run.initial, 0);
    std::ranges::transform(order, list + run.initial, [&](std::int32_t of) { return run.initial + of; });
    std::iota(list + run.chosen(), list + run.count(), run.local);
  }
}

void ReferenceOps::pick(const PickArgs& args) {
  const KvView& kv = args.kv;
  std::vector<float> x(static_cast<std::size_t>(kv.head_dim));
  for (const PickRun& run : args.runs) {
    for (std::int32_t i = 0; i < run.count(); ++i) {
      const std::int64_t to = run.first_page * kv.page_entries + i;
      const std::int32_t entry = args.list[to];
      const std::int32_t page = page_of(run.track, entry, kv.page_entries);
      for (std::int64_t head = 0; head < kv.kv_heads; ++head) {
        const std::byte* key = kv.key(page, head, entry % kv.page_entries);
        std::byte* copy = args.picked.key(to / kv.page_entries, head, to % kv.page_entries);
        const std::int64_t bytes = kv.head_dim * size_of(kv.type);
        std::copy_n(key + kv.value_offset, bytes, copy + args.picked.value_offset);
        std::copy_n(key, bytes, copy);
        if (args.turn == KeyTurn::none) continue;
        const std::int32_t from = args.positions(entry);
        const std::int32_t position = picked_position(args, run, i);
        if (from == position) continue;
        for (std::int64_t d = 0; d < kv.head_dim; ++d) x[static_cast<std::size_t>(d)] = element(key, kv.type, d);
        const auto rotation = rotation_between(args.rotations, from, position, kv.head_dim / 2);
        rotate(x.data(), rotation.data(), kv.head_dim / 2);
        for (std::int64_t d = 0; d < kv.head_dim; ++d) set_element(copy, kv.type, d, x[static_cast<std::size_t>(d)]);
      }
    }
  }
}

void ReferenceOps::turn(const TurnArgs& args) {
  for (const PickRun& run : args.runs) {
    for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
      const auto rotation = rotation_between(args.rotations, args.positions[row], run.distance, args.head_dim / 2);
      for (std::int64_t head = 0; head < args.heads; ++head) {
        float* y = args.y + (row * args.heads + head) * args.head_dim;
        std::copy_n(args.q + row * args.q_stride + head * args.head_dim, args.head_dim, y);
        rotate(y, rotation.data(), args.head_dim / 2);
      }
    }
  }
}

}  // namespace precis::reference
