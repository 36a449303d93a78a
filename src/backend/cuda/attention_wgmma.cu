// Attention for rows of which there are many, by Hopper's tensor cores. A block has a tile of 128 queries, each of its
// two computing warpgroups 64 of them; a third warpgroup fetches K and V of the tile's blocks of entries into two
// rings.
//
// A computing warpgroup begins the scores of a block and the outputs of the block before it together, and makes weights
// of the scores while the outputs are computed; the two take turns at beginning, so that one's weights are made while
// the other's products run.
//
// A row's bits are those of its own entries alone: blocks lie at multiples of their size, and one of which a row sees
// nothing leaves what it has as it is (its largest score stays, its weights are 0).
#include "backend/cuda/attention_tile.h"
#include "backend/cuda/check.h"
#include "backend/cuda/wgmma_fetch.cuh"
#include "backend/cuda/wgmma_queries.cuh"

namespace precis::cuda {
namespace {

// A warpgroup that computes.
template <int head_dim>
class Computer {
  using S = WgmmaShape<head_dim>;

 public:
  __device__ __forceinline__ Computer(WgmmaMemory<head_dim>& memory, const AttentionBatch& batch, int kv_head,
                                      int which)
      : memory_(memory),
        batch_(batch),
        first_row_(memory.tile.first_row),
        rows_(memory.tile.rows),
        group_(batch.heads / static_cast<int>(batch.kv.kv_heads)),
        first_head_(kv_head * group_),
        which_(which),
        queries_(batch.scale) {
    const int thread = static_cast<int>(threadIdx.x) % group_threads;
    own_query_ = which_ * group_queries + thread / warp_lanes * 16 + thread % warp_lanes / 4;
    for (int half = 0; half < 2; ++half) own_rows_[half] = min((own_query_ + 8 * half) / group_, rows_ - 1);
    q_ = operand_at(shared_address(memory_.q[0][which_ * group_queries]), 16);
    k_ = operand_at(shared_address(memory_.k), 16);
    v_ = operand_at(shared_address(memory_.v), S::column_bytes);
  }

  __device__ __forceinline__ void run() {
    // Summaries come first.
    of_picked_ = memory_.tile.run.picked && batch_.picked_q != nullptr;
    load_queries();
    if (S::take_turns && which_ == 1) meet_without_waiting(turn_barrier, compute_groups * group_threads);

    Step step = next_step();
    if (step.first < 0) return;
    change_queries(step);
    fence_background();
    begin_scores();
    wait_for_products<0>();
    make_weights(step);
    queries_.round_weights();
    for (step = next_step(); step.first >= 0; step = next_step()) {
      change_queries(step);
      wait_for(memory_.v_full[values_.stage], values_.parity);
      fence_background();
      begin_turn();
      begin_scores();
      begin_outputs();
      end_turn();
      wait_for_products<1>();
      make_weights(step);
      wait_for_products<0>();
      end_outputs();
      queries_.rescale();
      queries_.round_weights();
    }
    wait_for(memory_.v_full[values_.stage], values_.parity);
    fence_background();
    // The last weights are relative to what the outputs already are.
    begin_outputs();
    wait_for_products<0>();
    end_outputs();
    write();
  }

 private:
  // Queries as bf16, row by row the heads of the group; zeros behind the last one.
  __device__ __forceinline__ void load_queries() {
    for (int index = static_cast<int>(threadIdx.x) % group_threads; index < group_queries * head_dim / 8;
         index += group_threads) {
      const int query = which_ * group_queries + index / (head_dim / 8);
      const int dim = index % (head_dim / 8) * 8;
      uint4 numbers = make_uint4(0, 0, 0, 0);
      if (query < rows_ * group_) {
        const float* from = row_queries(batch_, first_row_ + query / group_, of_picked_) +
                            static_cast<std::int64_t>(first_head_ + query % group_) * head_dim + dim;
        numbers = make_uint4(pair_of(from[0], from[1]), pair_of(from[2], from[3]), pair_of(from[4], from[5]),
                             pair_of(from[6], from[7]));
      }
      std::byte* column = reinterpret_cast<std::byte*>(memory_.q[dim / column_dims]);
      *reinterpret_cast<uint4*>(column + swizzled(query, dim % column_dims / 8)) = numbers;
    }
    fence_background();
    meet(own_barrier + which_, group_threads);
  }

  // To those of the step's track. All products that read the others have ended.
  __device__ __forceinline__ void change_queries(const Step& step) {
    if (!of_picked_ || step.summary) return;
    of_picked_ = false;
    meet(own_barrier + which_, group_threads);
    load_queries();
  }

  __device__ __forceinline__ Step next_step() const {
    wait_for(memory_.k_full[keys_.stage], keys_.parity);
    return memory_.steps[keys_.stage];
  }

  __device__ __forceinline__ void begin_turn() const {
    if (S::take_turns) meet(turn_barrier + which_, compute_groups * group_threads);
  }
  __device__ __forceinline__ void end_turn() const {
    if (S::take_turns) meet_without_waiting(turn_barrier + 1 - which_, compute_groups * group_threads);
  }

  __device__ __forceinline__ void begin_scores() {
    queries_.begin_scores(q_, k_ + operand_step(keys_.stage * S::columns * S::column_bytes));
  }
  __device__ __forceinline__ void begin_outputs() {
    queries_.begin_outputs(v_ + operand_step(values_.stage * S::columns * S::column_bytes));
  }
  __device__ __forceinline__ void end_outputs() {
    queries_.hold_outputs();
    leave(memory_.v_empty[values_.stage]);
    values_.advance();
  }

  // Of scores that are computed.
  __device__ __forceinline__ void make_weights(const Step& step) {
    queries_.hold_scores();
    leave(memory_.k_empty[keys_.stage]);
    keys_.advance();
    if (step.masked) {
      Bounds bounds[2];
      for (int half = 0; half < 2; ++half) {
        bounds[half] = bounds_in(memory_.bounds[own_rows_[half]], step.summary);
        bounds[half] = {bounds[half].low - step.first, bounds[half].high - step.first};
      }
      queries_.mask(bounds);
    }
    queries_.weigh();
  }

  __device__ __forceinline__ void leave(Barrier& empty) const { arrive(empty); }

  __device__ __forceinline__ void write() const {
    queries_.for_outputs([&](int half, int dim, float value, float next) {
      const int query = own_query_ + 8 * half;
      if (query >= rows_ * group_) return;
      const std::int64_t row = first_row_ + query / group_;
      float* out = batch_.out + (row * batch_.heads + first_head_ + query % group_) * head_dim + dim;
      *reinterpret_cast<float2*>(out) = make_float2(value, next);
    });
  }

  WgmmaMemory<head_dim>& memory_;
  const AttentionBatch& batch_;
  int first_row_;  // of the tile
  int rows_;
  int group_;
  int first_head_;
  int which_;
  int own_query_;    // of the tile, and the one 8 further
  int own_rows_[2];  // theirs, of the tile
  bool of_picked_;   // the queries are those for what was picked
  std::uint64_t q_;  // operands: this group's queries
  std::uint64_t k_;  // the first stage
  std::uint64_t v_;
  RingPlace<S::key_stages> keys_;
  RingPlace<S::value_stages> values_;
  GroupQueries<head_dim> queries_;
};

// Where code is made for other chips, the kernel is there, but empty.
template <int head_dim>
__global__ void __launch_bounds__(block_threads, 1) wgmma_tile_kernel(const __grid_constant__ TileArgs args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::uint8_t shared_bytes[];
  auto& memory = *reinterpret_cast<WgmmaMemory<head_dim>*>(shared_bytes);
  const AttentionBatch& batch = args.batch;
  const int kv_head = static_cast<int>(blockIdx.y);
  const Tile tile = tile_of(args, batch.heads / static_cast<int>(batch.kv.kv_heads));
  for (int row = static_cast<int>(threadIdx.x); row < tile.rows; row += block_threads) {
    memory.bounds[row] = batch.bounds[tile.first_row + row];
  }
  if (threadIdx.x == 0) {
    memory.tile = tile;
    memory.make_barriers();
  }
  __syncthreads();
  // The same in all lanes, which lets the compiler keep operands where products want them.
  const int warpgroup = __shfl_sync(all_lanes, static_cast<int>(threadIdx.x) / group_threads, 0);
  if (warpgroup == 0) {
    give_registers<fetch_registers>();
    Fetcher<head_dim>(memory, batch, kv_head).run();
  } else {
    take_registers<compute_registers>();
    Computer<head_dim>(memory, batch, kv_head, warpgroup - 1).run();
  }
#endif
}

template <int head_dim>
void launch_tiles(const TileArgs& args, cudaStream_t stream) {
  constexpr auto bytes = static_cast<int>(sizeof(WgmmaMemory<head_dim>));
  static_assert(bytes <= 227 * 1024, "a block has no more");
  check(cudaFuncSetAttribute(wgmma_tile_kernel<head_dim>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>(args.tiles), static_cast<unsigned>(args.kv_heads));
  wgmma_tile_kernel<head_dim><<<grid, block_threads, bytes, stream>>>(args);
  check_launch("tile_attention");
}

}  // namespace

bool has_wgmma_tiles(std::int64_t head_dim) {
#ifdef PRECIS_CUDA_90A
  if (head_dim != 64 && head_dim != 128 && head_dim != 256) return false;
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  return major == 9;
#else
  static_cast<void>(head_dim);
  return false;
#endif
}

void launch_wgmma_tiles(const TileArgs& args, cudaStream_t stream) {
  switch (args.batch.kv.head_dim) {
    case 64:
      return launch_tiles<64>(args, stream);
    case 128:
      return launch_tiles<128>(args, stream);
    default:
      return launch_tiles<256>(args, stream);
  }
}

}  // namespace precis::cuda
