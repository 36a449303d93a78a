// What the block of a tile of attention (attention_wgmma.cu) has in shared memory, and who has what part in it.
#pragma once

#include "backend/cuda/attention_tile.cuh"
#include "backend/cuda/barrier.cuh"
#include "backend/cuda/wgmma.cuh"

namespace precis::cuda {

constexpr int group_threads = 4 * warp_lanes;
constexpr int group_queries = 64;
constexpr int compute_groups = tile_queries / group_queries;
constexpr int block_threads = (1 + compute_groups) * group_threads;
// Registers of a thread. The block begins with 168 for each; those who fetch leave the others some.
constexpr int fetch_registers = 56;
constexpr int compute_registers = 224;
// Numbered barriers: a computing group's own, and whose turn it is.
constexpr int own_barrier = 1;
constexpr int turn_barrier = own_barrier + compute_groups;

template <int head_dim>
struct WgmmaShape {
  static constexpr int columns = head_dim / column_dims;
  // What the registers hold: 128 x 128 scores, or 256 dimensions of outputs.
  static constexpr int entries = head_dim <= 128 ? 128 : 64;
  static constexpr int key_stages = head_dim <= 128 ? 3 : 2;
  static constexpr int value_stages = 3;
  static constexpr int column_bytes = entries * column_dims * 2;
  static constexpr int query_column_bytes = tile_queries * column_dims * 2;
  static constexpr bool take_turns = head_dim <= 128;
};

// What is to be computed with a stage of keys and the values that come with it.
struct Step {
  int first;  // entry, or < 0 behind the last block
  bool summary;
  bool masked;  // some row does not see all of the block
};

template <int head_dim>
struct WgmmaMemory {
  using S = WgmmaShape<head_dim>;

  alignas(1024) __nv_bfloat16 q[S::columns][tile_queries][column_dims];
  __nv_bfloat16 k[S::key_stages][S::columns][S::entries][column_dims];
  __nv_bfloat16 v[S::value_stages][S::columns][S::entries][column_dims];
  RowBounds bounds[tile_queries];  // of rows
  Tile tile;
  Step steps[S::key_stages];
  Barrier k_full[S::key_stages];
  Barrier k_empty[S::key_stages];
  Barrier v_full[S::value_stages];
  Barrier v_empty[S::value_stages];

  __device__ void make_barriers() {
    constexpr int readers = compute_groups * group_threads;
    for (int i = 0; i < S::key_stages; ++i) {
      make_barrier(k_full[i], group_threads + 1);  // the copies of each thread, and the step
      make_barrier(k_empty[i], readers);
    }
    for (int i = 0; i < S::value_stages; ++i) {
      make_barrier(v_full[i], group_threads);
      make_barrier(v_empty[i], readers);
    }
    fence_background();
  }
};

}  // namespace precis::cuda
