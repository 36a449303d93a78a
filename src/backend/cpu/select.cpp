// Efficient selective attention: scores, choice, and copies of what was picked. device/select_args.h.
#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>

#include "backend/cpu/cpu_ops.h"

namespace precis::cpu {
namespace {

constexpr float least = -std::numeric_limits<float>::infinity();
// Products below which waking the workers costs more than they save.
constexpr std::int64_t products_worth_sharing = 1 << 17;
// Rows of a tile: what they are multiplied with stays in the first-level cache meanwhile.
constexpr std::int64_t tile_rows = 64;
// Picked entries that a worker takes at a time.
constexpr std::int64_t entries_at_once = 32;
// How much earlier than it is copied an entry is fetched into the cache.
constexpr std::int32_t entries_ahead = 2;

std::int32_t page_of(const TrackPages& track, std::int64_t entry, std::int64_t page_entries) {
  return track.pages[entry / page_entries - track.first_page];
}

using Keys = std::array<const std::byte*, score_entries>;

// The k' of `count` entries from `first` on.
void find_short_keys(const KvView& kv, const TrackPages& track, std::int64_t first, std::int64_t count, Keys& keys) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t entry = first + i;
    keys[static_cast<std::size_t>(i)] = kv.short_key(page_of(track, entry, kv.page_entries), entry % kv.page_entries);
  }
}

// Floats in the order of unsigned integers; zeros of either sign are one.
std::uint32_t ordered(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

// The `top`th largest, and how many are larger: by its digits, from the highest on.
struct Threshold {
  std::uint32_t key;
  std::int64_t larger;
};
Threshold find_threshold(std::span<const float> scores, std::int64_t top) {
  constexpr std::array<int, 3> shifts = {21, 10, 0};
  Threshold found{0, 0};
  std::uint32_t known = 0;  // bits of found.key that are known
  for (const int shift : shifts) {
    std::array<std::int32_t, 2048> counts{};
    for (const float score : scores) {
      const std::uint32_t key = ordered(score);
      if ((key & known) == found.key) ++counts[(key >> shift) & 0x7ffU & ~(known >> shift)];
    }
    std::size_t digit = counts.size() - 1;
    while (found.larger + counts[digit] < top) found.larger += counts[digit--];
    found.key |= static_cast<std::uint32_t>(digit) << shift;
    known |= 0x7ffU << shift;
  }
  return found;
}

// The largest within `reach` places of each.
void spread(std::span<const float> scores, std::int64_t reach, float* to) {
  const auto size = static_cast<std::int64_t>(scores.size());
  std::copy(scores.begin(), scores.end(), to);
  for (std::int64_t shift = 1; shift <= std::min(reach, size - 1); ++shift) {
    const float* from = scores.data();
    for (std::int64_t i = 0; i < size - shift; ++i) to[i] = from[i + shift] > to[i] ? from[i + shift] : to[i];
    for (std::int64_t i = shift; i < size; ++i) to[i] = from[i - shift] > to[i] ? from[i - shift] : to[i];
  }
}

}  // namespace

void CpuOps::keep_short(const KeepShortArgs& args) {
  const KvView& kv = args.kv;
  for_rows(args.rows, kv.short_dim, [&](std::int64_t row) {
    const std::int64_t slot = args.slots[row];
    if (slot < 0) return;
    std::byte* key = kv.short_key(slot / kv.page_entries, slot % kv.page_entries);
    const float* x = args.x + row * kv.short_dim;
    if (kv.short_type() == DType::f32) {
      std::copy_n(x, kv.short_dim, reinterpret_cast<float*>(key));
    } else {
      std::transform(x, x + kv.short_dim, reinterpret_cast<Bf16*>(key), to_bf16);
    }
  });
}

void CpuOps::cut_selection(const SelectArgs& args) {
  score_chunks_.clear();
  score_places_.clear();
  std::int64_t scores = 0;
  maxima_stride_ = 0;
  for (std::size_t run = 0; run < args.runs.size(); ++run) {
    const PickRun& of = args.runs[run];
    score_places_.push_back({scores, maxima_stride_});
    for (std::int64_t first = 0; first < of.middle(); first += score_entries) {
      score_chunks_.push_back({run, first, std::min(score_entries, of.middle() - first)});
    }
    scores += of.middle();
    if (of.rows > 1) maxima_stride_ += of.rows;
  }
  const auto wanted = static_cast<std::size_t>(scores);
  if (scores_.size() < wanted) scores_.resize(wanted);
  if (spread_.size() < wanted) spread_.resize(wanted);
  maxima_.assign(static_cast<std::size_t>(maxima_stride_ * pool_.workers()), least);
}

void CpuOps::find_maxima(const SelectArgs& args) {
  const KvView& kv = args.kv;
  const Element type = element_of(kv.short_type());
  pool_.for_each(static_cast<std::int64_t>(score_chunks_.size()), [&](std::int64_t index, int worker) {
    const ScoreChunk& chunk = score_chunks_[static_cast<std::size_t>(index)];
    const PickRun& run = args.runs[chunk.run];
    if (run.rows == 1) return;
    Keys keys;
    find_short_keys(kv, run.track, run.initial + chunk.first, chunk.entries, keys);
    float* maxima = maxima_.data() + worker * maxima_stride_ + score_places_[chunk.run].maxima;
    for (std::int64_t row = 0; row < run.rows; row += tile_rows) {
      kernels_.score_maxima({args.q + (run.first_row + row) * kv.short_dim, std::min(tile_rows, run.rows - row),
                             kv.short_dim, keys.data(), chunk.entries, type},
                            maxima + row);
    }
  });
  for (int worker = 1; worker < pool_.workers(); ++worker) {
    const float* others = maxima_.data() + worker * maxima_stride_;
    for (std::int64_t row = 0; row < maxima_stride_; ++row) {
      maxima_[static_cast<std::size_t>(row)] = std::max(maxima_[static_cast<std::size_t>(row)], others[row]);
    }
  }
}

void CpuOps::choose(const SelectArgs& args, std::size_t index) {
  const PickRun& run = args.runs[index];
  const std::span scores(scores_.data() + score_places_[index].scores, static_cast<std::size_t>(run.middle()));
  float* wide = spread_.data() + score_places_[index].scores;
  spread(scores, args.proximity, wide);
  const Threshold threshold = find_threshold({wide, scores.size()}, run.top);
  std::int32_t* list = args.list + run.first_page * args.kv.page_entries;
  std::iota(list, list + run.initial, 0);
  std::int32_t* to = list + run.initial;
  std::int64_t equal = run.top - threshold.larger;
  for (std::int32_t i = 0; i < run.middle(); ++i) {
    const std::uint32_t key = ordered(wide[i]);
    if (key < threshold.key || (key == threshold.key && equal-- <= 0)) continue;
    *to++ = run.initial + i;
  }
  std::iota(list + run.chosen(), list + run.count(), run.local);
}

void CpuOps::select(const SelectArgs& args) {
  const KvView& kv = args.kv;
  const Element type = element_of(kv.short_type());
  cut_selection(args);
  if (maxima_stride_ > 0) find_maxima(args);
  const auto score = [&](std::int64_t index, int) {
    const ScoreChunk& chunk = score_chunks_[static_cast<std::size_t>(index)];
    const PickRun& run = args.runs[chunk.run];
    Keys keys;
    find_short_keys(kv, run.track, run.initial + chunk.first, chunk.entries, keys);
    float* scores = scores_.data() + score_places_[chunk.run].scores + chunk.first;
    const ScoreTile tile{
        args.q + run.first_row * kv.short_dim, run.rows, kv.short_dim, keys.data(), chunk.entries, type};
    const float* maxima = run.rows == 1 ? nullptr : maxima_.data() + score_places_[chunk.run].maxima;
    kernels_.score_best(tile, maxima, scores);
  };
  const auto chunks = static_cast<std::int64_t>(score_chunks_.size());
  if (chunks * score_entries * kv.short_dim >= products_worth_sharing || maxima_stride_ > 0) {
    pool_.for_each(chunks, score);
  } else {
    for (std::int64_t index = 0; index < chunks; ++index) score(index, 0);
  }
  pool_.for_each(static_cast<std::int64_t>(args.runs.size()),
                 [&](std::int64_t run, int) { choose(args, static_cast<std::size_t>(run)); });
  if (kv.far_base != nullptr && far_.reads()) fetch_far(args);
}

void CpuOps::fetch_far(const SelectArgs& args) {
  for (const PickRun& run : args.runs) {
    const std::int32_t* list = args.list + run.first_page * args.kv.page_entries;
    pool_.for_each((run.count() + entries_at_once - 1) / entries_at_once, [&](std::int64_t task, int) {
      const std::int64_t first = task * entries_at_once;
      const auto count = static_cast<std::size_t>(std::min<std::int64_t>(entries_at_once, run.count() - first));
      FarReader::fetch(args.kv, run.track, {list + first, count});
    });
  }
}

void CpuOps::pick(const PickArgs& args) {
  const KvView& kv = args.kv;
  PickEntry shape{.key = nullptr,
                  .next = nullptr,
                  .head_bytes = kv.page_entries * kv.head_dim * size_of(kv.type),
                  .value_offset = kv.value_offset,
                  .to = nullptr,
                  .to_head_bytes = kv.page_entries * kv.head_dim * size_of(kv.type),
                  .to_value_offset = args.picked.value_offset,
                  .kv_heads = kv.kv_heads,
                  .head_dim = kv.head_dim,
                  .type = element_of(kv.type),
                  .from_rotation = nullptr,
                  .to_rotation = nullptr,
                  .turn = nullptr};
  reserve_scratch(kv.head_dim);
  for (const PickRun& run : args.runs) {
    const auto pick_one = [&](std::int32_t index, int worker) {
      const std::int64_t to = run.first_page * kv.page_entries + index;
      const std::int32_t entry = args.list[to];
      PickEntry one = shape;
      one.turn = scratch(worker);
      const std::int32_t next = args.list[to - index + std::min(index + entries_ahead, run.count() - 1)];
      one.key = kv.key(page_of(run.track, entry, kv.page_entries), 0, entry % kv.page_entries);
      one.next = kv.key(page_of(run.track, next, kv.page_entries), 0, next % kv.page_entries);
      one.to = args.picked.key(to / kv.page_entries, 0, to % kv.page_entries);
      if (args.turn != KeyTurn::none) {
        const std::int32_t from = args.positions(entry);
        const std::int32_t position =
            args.turn == KeyTurn::to_origin ? 0 : args.positions(run.local - run.chosen() + index);
        if (from != position) {
          one.from_rotation = args.rotations + from * kv.head_dim;
          one.to_rotation = args.rotations + position * kv.head_dim;
        }
      }
      kernels_.pick(one);
    };
    const std::int64_t tasks = (run.count() + entries_at_once - 1) / entries_at_once;
    pool_.for_each(tasks, [&](std::int64_t task, int worker) {
      const std::int64_t end = std::min<std::int64_t>(run.count(), (task + 1) * entries_at_once);
      for (std::int64_t i = task * entries_at_once; i < end; ++i) pick_one(static_cast<std::int32_t>(i), worker);
    });
  }
}

void CpuOps::turn(const TurnArgs& args) {
  const std::int64_t half = args.head_dim / 2;
  for (const PickRun& run : args.runs) {
    for_rows(run.rows, 8 * args.heads * args.head_dim, [&](std::int64_t index) {
      const std::int64_t row = run.first_row + index;
      const float* from = args.rotations + args.positions[row] * args.head_dim;
      const float* to = args.rotations + run.distance * args.head_dim;
      const float* q = args.q + row * args.q_stride;
      float* y = args.y + row * args.heads * args.head_dim;
      for (std::int64_t at = 0; at < args.heads * args.head_dim; at += args.head_dim) {
        for (std::int64_t i = 0; i < half; ++i) {
          const float cosine = to[i] * from[i] + to[half + i] * from[half + i];
          const float sine = to[half + i] * from[i] - to[i] * from[half + i];
          const float a = q[at + i];
          const float b = q[at + half + i];
          y[at + i] = a * cosine - b * sine;
          y[at + half + i] = b * cosine + a * sine;
        }
      }
    });
  }
}

}  // namespace precis::cpu
