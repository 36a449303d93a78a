#include "backend/cuda/cuda_ops.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/check.h"
#include "backend/cuda/kernels.h"
#include "base/error.h"

namespace precis::cuda {
namespace {

void expect_head(const KvView& kv) {
  if (kv.head_dim % 8 != 0 || kv.head_dim > largest_head) {
    fail("head_dim: {}, the cuda backend takes multiples of 8 up to {}", kv.head_dim, largest_head);
  }
}

}  // namespace

CudaOps::CudaOps(const std::shared_ptr<Stream>& stream, bool exact_activations, bool deterministic)
    : stream_(stream),
      exact_activations_(exact_activations),
      deterministic_(deterministic),
      most_shares_(shares_in_clusters() ? most_shares : 1),
      staging_(stream),
      products_(stream),
      activations_(stream),
      weights_(stream),
      ups_(stream),
      gates_(stream),
      attended_(stream),
      nexts_(stream),
      squares_(stream),
      attention_(deterministic),
      partials_(stream),
      counters_(stream),
      widened_(stream),
      graphs_(stream) {}

void CudaOps::embed(const EmbedArgs& args) {
  forget(args.x);
  launch_embed(args, stream());
}

void CudaOps::rms_norm(const RmsNormArgs& args) {
  if (args.rows == 0) return;
  forget(args.y);
  if (deterministic_) {
    // In the order of norms on the way into products: a step has one or the other, by the rows that it has.
    return launch_norm_round(args.x, args.width, args.rows, args.width, {args.weight, args.epsilon}, Operand::f32,
                             args.y, stream());
  }
  launch_rms_norm(args, stream());
}

void CudaOps::rotation(const RotationArgs& args) {
  launch_rotation(args, stream());
}

void CudaOps::place(const PlaceArgs& args) {
  expect_head(args.kv);
  has_selected_ = false;
  launch_place(args, stream());
}

void CudaOps::attention(const AttentionArgs& args) {
  if (args.runs.empty()) return;
  expect_head(args.kv);
  attention_.make(args);
  const bool is_placed = std::exchange(has_selected_, false) && args.picked_list != nullptr;
  if (attention_.wants_copies()) {
    pick({.kv = args.kv,
          .picked = args.picked,
          .runs = args.picks,
          .device_runs = args.device_picks,
          .list = args.picked_list});
  } else if (is_placed) {
    attention_.set_placed();
  }
  if (attention_.partial_floats() > 0) {
    attention_.set_partials(partials_.get<float>(attention_.partial_floats()), counters(attention_.counters()));
  }
  const std::int64_t rows = args.runs.back().first_row + args.runs.back().rows;
  forget(args.out);
  if (prepares(rows, args.next.format) && attention_.tile_batches().empty()) {
    void* rounded = attended_.get<std::byte>(rows * args.heads * args.kv.head_dim * 2);
    attention_.set_rounded(rounded, args.next);
    prepared_ = {.x = args.out, .rows = rows, .inputs = args.heads * args.kv.head_dim, .rounded = rounded};
  }
  for (const SplitArgs& batch : attention_.split_batches()) launch_split_attention(batch, stream());
  if (attention_.widened_bytes() > 0) attention_.set_widened(widened_.get<std::byte>(attention_.widened_bytes()));
  for (const TileBatch& batch : attention_.tile_batches()) {
    if (batch.widen) launch_widen(*batch.widen, stream());
    launch_tile_attention(batch.tiles, stream());
  }
}

void CudaOps::most_likely(const MostLikelyArgs& args) {
  if (args.rows == 0) return;
  auto* keys = partials_.get<unsigned long long>(args.rows * most_likely_blocks);
  launch_most_likely(args, keys, counters(args.rows), stream());
}

void CudaOps::draw(const DrawArgs& args) {
  if (args.rows == 0) return;
  const std::int64_t rows = std::min(args.rows, draw_rows);
  const std::int64_t slices = (args.vocabulary + draw_slice - 1) / draw_slice;
  auto* words = partials_.get<unsigned long long>(rows * (draw_words + slices));
  auto* sums = reinterpret_cast<double*>(words + rows * draw_words);
  launch_draw(args, {words, sums, counters(2 * rows)}, stream());
}

std::int32_t* CudaOps::counters(std::int64_t count) {
  const std::int64_t before = counters_.moves();
  auto* counters = counters_.get<std::int32_t>(count);
  if (counters_.moves() != before) {
    check(cudaMemsetAsync(counters, 0, static_cast<std::size_t>(counters_.bytes()), stream()), "cudaMemsetAsync");
  }
  return counters;
}

void CudaOps::gather(const GatherArgs& args) {
  forget(args.y);
  launch_gather(args, stream());
}

void CudaOps::copy_pages(const CopyPagesArgs& args) {
  for (const PageCopy& copy : args.copies) {  // in order, as everything in the stream
    const auto width = static_cast<std::size_t>(args.page_bytes);
    const auto pitch = static_cast<std::size_t>(std::max(args.array_bytes, args.page_bytes));
    check(cudaMemcpy2DAsync(args.base + copy.to * args.page_bytes, pitch, args.base + copy.from * args.page_bytes,
                            pitch, width, static_cast<std::size_t>(args.arrays), cudaMemcpyDefault, stream()),
          "cudaMemcpy2DAsync of a page");
  }
}

void CudaOps::repeat(std::span<const std::int64_t> key, const std::function<void()>& work) {
  const auto memory = [&] {
    return activations_.moves() + weights_.moves() + ups_.moves() + gates_.moves() + attended_.moves() +
           nexts_.moves() + squares_.moves() + partials_.moves() + counters_.moves() + widened_.moves();
  };
  graphs_.repeat(key, memory, work);
}

void CudaOps::to_device(void* device, const void* host, std::int64_t bytes) {
  staging_.copy(device, host, bytes);
}

const void* CudaOps::on_host(const void* device, std::int64_t bytes) {
  readback_.copy(*stream_, device, bytes);
  return readback_.wait();
}

void CudaOps::set_out(std::size_t place, const void* device, std::int64_t bytes) {
  places_[place].copy(*stream_, device, bytes);
}

const void* CudaOps::arrived(std::size_t place) {
  return places_[place].wait();
}

const void* CudaOps::on_host_since(std::size_t, const void* device, std::int64_t bytes) {
  readback_.copy(*side_, device, bytes);
  return readback_.wait();
}

}  // namespace precis::cuda
