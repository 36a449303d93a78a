// The part of a block of attention (attention_wgmma.cu) that fetches K and V: which blocks of entries, from which
// pages, to where products want them.
#pragma once

#include "backend/cuda/wgmma_memory.cuh"

namespace precis::cuda {

// The warps that fetch. A warp has a stretch of each block, a lane knows where one entry of it lies, and 8 lanes fetch
// an entry's columns together.
template <int head_dim>
class Fetcher {
  using S = WgmmaShape<head_dim>;
  static constexpr int warp_entries = S::entries / 4;

 public:
  __device__ Fetcher(WgmmaMemory<head_dim>& memory, const AttentionBatch& batch, int kv_head)
      : memory_(memory),
        batch_(batch),
        kv_head_(kv_head),
        blocks_(memory.bounds, memory.tile.rows),
        lane_(static_cast<int>(threadIdx.x) % warp_lanes),
        first_(static_cast<int>(threadIdx.x) / warp_lanes * warp_entries) {}

  // Values of a block come after keys of the next one, which are needed earlier.
  __device__ void run() {
    const std::byte* values = nullptr;
    bool has_values = false;
    EntryBits<S::entries> seen;
    for (int block = blocks_.next(0, seen); block < blocks_.end(); block = blocks_.next(block + 1, seen)) {
      const std::byte* entry = entry_of(block, seen);
      fetch_keys({blocks_.first_entry(block), blocks_.is_summary(block), !blocks_.all_see(block)}, entry);
      if (has_values) fetch_values(values);
      values = entry;
      has_values = true;
    }
    if (has_values) fetch_values(values);
    fetch_keys({-1, false, false}, nullptr);
  }

 private:
  // This lane's, or null if nobody sees it.
  __device__ const std::byte* entry_of(int block, const EntryBits<S::entries>& seen) const {
    const int entry = first_ + lane_ % warp_entries;
    if (!seen.has(entry)) return nullptr;
    const RowRun& run = memory_.tile.run;
    const TrackKeys keys =
        blocks_.is_summary(block) ? summary_keys(batch_, run, kv_head_) : TrackKeys(batch_, run.text, kv_head_);
    return keys.key(blocks_.first_entry(block) + entry);
  }

  __device__ void fetch_keys(const Step& step, const std::byte* entry) {
    wait_for(memory_.k_empty[keys_.stage], keys_.parity ^ 1U);
    if (step.first >= 0) fetch(entry, 0, memory_.k[keys_.stage]);
    arrive_after_copies(memory_.k_full[keys_.stage]);
    if (threadIdx.x == 0) {
      memory_.steps[keys_.stage] = step;
      arrive(memory_.k_full[keys_.stage]);
    }
    keys_.advance();
  }

  __device__ void fetch_values(const std::byte* entry) {
    wait_for(memory_.v_empty[values_.stage], values_.parity ^ 1U);
    fetch(entry, batch_.kv.value_offset, memory_.v[values_.stage]);
    arrive_after_copies(memory_.v_full[values_.stage]);
    values_.advance();
  }

  __device__ void fetch(const std::byte* entry, std::int64_t offset, __nv_bfloat16 (*to)[S::entries][column_dims]) {
    const int piece = lane_ % 8;
#pragma unroll
    for (int i = 0; i < warp_entries; i += 4) {
      const int from_lane = i + lane_ / 8;
      const auto at = __shfl_sync(all_lanes, reinterpret_cast<std::uintptr_t>(entry), from_lane);
      const bool wanted = at != 0;
      // Of the first address that there is, nothing is read.
      const std::byte* from = wanted ? reinterpret_cast<const std::byte*>(at) + offset + 16 * piece
                                     : batch_.kv.base + batch_.kv.layer_offset;
      std::byte* place = reinterpret_cast<std::byte*>(to) + swizzled(first_ + from_lane, piece);
#pragma unroll
      for (int column = 0; column < S::columns; ++column) {
        copy_async(place + column * S::column_bytes, from + 2 * column_dims * column, wanted);
      }
    }
  }

  WgmmaMemory<head_dim>& memory_;
  const AttentionBatch& batch_;
  int kv_head_;
  TileBlocks<S::entries> blocks_;
  int lane_;
  int first_;  // entry of a block that this warp fetches
  RingPlace<S::key_stages> keys_;
  RingPlace<S::value_stages> values_;
};

}  // namespace precis::cuda
