#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace precis::cpu {
namespace {

// Element operations below which waking the workers costs more than they save (1 to 2 us).
constexpr std::int64_t worth_sharing = 16384;
// Query rows (rows times heads of a group) of an attention tile: enough to pay for the packing of K and V, few enough
// for the tile to stay in the first-level cache.
constexpr std::int64_t tile_queries = 64;
constexpr std::int64_t max_tile_rows = 64;
// A block of weights that stays in the second-level cache while all row tiles of a task pass over it.
constexpr std::int64_t weight_block_bytes = 128 << 10;
constexpr std::int64_t row_block = 96;
constexpr std::size_t scratch_alignment = 64;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

Element element_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return Element::f32;
    case WeightFormat::f16:
      return Element::f16;
    case WeightFormat::bf16:
      return Element::bf16;
    default:
      break;
  }
  PRECIS_CHECK(false, "no kernel for {}", name_of(format));
  return Element::f32;
}

Element kv_element_of(DType type) {
  PRECIS_CHECK(type == DType::f32 || type == DType::bf16, "no kernel for KV in {}", name_of(type));
  return element_of(format_of(type));
}

// Outputs of a task: a block that fits the cache, but small enough for every worker to get some.
std::int64_t outputs_per_task(const LinearPart& part, std::int64_t outputs, std::int64_t row_tasks, int workers) {
  constexpr std::int64_t step = 8;  // outputs of the widest kernel tile
  const std::int64_t row_bytes = value_row_bytes(part.weight.format, part.weight.inputs);
  const std::int64_t cached = std::max(weight_block_bytes / row_bytes, step);
  const std::int64_t shared = divided_up(outputs * row_tasks, std::int64_t{4} * workers);
  return divided_up(std::min(cached, shared), step) * step;
}

}  // namespace

CpuOps::CpuOps(const Kernels& kernels, int threads)
    : kernels_(kernels), pool_(threads), scratch_(static_cast<std::size_t>(pool_.workers())) {}

template <typename Each>
void CpuOps::for_rows(std::int64_t rows, std::int64_t row_cost, const Each& each) {
  const std::int64_t rows_per_task = std::max<std::int64_t>(worth_sharing / std::max<std::int64_t>(row_cost, 1), 1);
  pool_.for_each(divided_up(rows, rows_per_task), [&](std::int64_t task, int) {
    const std::int64_t end = std::min(rows, (task + 1) * rows_per_task);
    for (std::int64_t row = task * rows_per_task; row < end; ++row) each(row);
  });
}

void CpuOps::reserve_scratch(std::int64_t floats) {
  const auto wanted = static_cast<std::size_t>(floats) + scratch_alignment / sizeof(float);
  for (std::vector<float>& memory : scratch_) {
    if (memory.size() < wanted) memory.resize(wanted);
  }
}

float* CpuOps::scratch(int worker) {
  float* memory = scratch_[static_cast<std::size_t>(worker)].data();
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  return memory + (scratch_alignment - address % scratch_alignment) % scratch_alignment / sizeof(float);
}

void CpuOps::embed(const EmbedArgs& args) {
  const std::int64_t width = args.table.inputs;
  for_rows(args.rows, width, [&](std::int64_t row) {
    kernels_.widen(element_of(args.table.format), args.table.row(args.ids[row]), args.x + row * width, width);
  });
}

void CpuOps::rms_norm(const RmsNormArgs& args) {
  for_rows(args.rows, 2 * args.width, [&](std::int64_t row) {
    kernels_.norm({args.x + row * args.width, args.weight, args.y + row * args.width, args.width, args.epsilon});
  });
}

void CpuOps::linear(const LinearArgs& args) {
  if (args.rows == 0) return;
  std::int64_t outputs = 0;
  std::int64_t products = 0;
  for (const LinearPart& part : args.parts) {
    outputs += part.weight.outputs;
    products += args.rows * part.weight.outputs * part.weight.inputs;
  }
  const int workers = products < worth_sharing ? 1 : pool_.workers();
  const std::int64_t row_tasks = divided_up(args.rows, row_block);
  const auto tasks_of = [&](const LinearPart& part) {
    return divided_up(part.weight.outputs, outputs_per_task(part, outputs, row_tasks, workers)) * row_tasks;
  };
  const auto work = [&](std::int64_t task, int) {
    const LinearPart* part = args.parts.data();
    for (std::int64_t tasks = tasks_of(*part); task >= tasks; tasks = tasks_of(*part)) {
      task -= tasks;
      ++part;
    }
    const std::int64_t block = outputs_per_task(*part, outputs, row_tasks, workers);
    const std::int64_t first = task / row_tasks * block;
    const std::int64_t row = task % row_tasks * row_block;
    kernels_.linear({.x = args.x + row * args.x_stride,
                     .x_stride = args.x_stride,
                     .rows = std::min(row_block, args.rows - row),
                     .weight = part->weight.row(first),
                     .type = element_of(part->weight.format),
                     .outputs = std::min(block, part->weight.outputs - first),
                     .inputs = part->weight.inputs,
                     .bias = part->bias == nullptr ? nullptr : part->bias + first,
                     .y = part->y + row * part->y_stride + first,
                     .y_stride = part->y_stride,
                     .accumulate = args.accumulate});
  };
  std::int64_t tasks = 0;
  for (const LinearPart& part : args.parts) tasks += tasks_of(part);
  if (workers == 1) {
    for (std::int64_t task = 0; task < tasks; ++task) work(task, 0);
  } else {
    pool_.for_each(tasks, work);
  }
}

void CpuOps::rotation(const RotationArgs& args) {
  constexpr std::int64_t pair_cost = 128;  // two functions in double
  for_rows(args.rows, args.pairs * pair_cost, [&](std::int64_t row) {
    float* cosines = args.rotation + row * 2 * args.pairs;
    for (std::int64_t pair = 0; pair < args.pairs; ++pair) {
      const float angle = static_cast<float>(args.positions[row]) * args.frequencies[pair];
      cosines[pair] = static_cast<float>(std::cos(static_cast<double>(angle))) * args.magnitude;
      cosines[args.pairs + pair] = static_cast<float>(std::sin(static_cast<double>(angle))) * args.magnitude;
    }
  });
}

void CpuOps::place(const PlaceArgs& args) {
  const KvView& kv = args.kv;
  const std::int64_t width = (args.heads + 2 * kv.kv_heads) * kv.head_dim;
  const Element type = kv_element_of(kv.type);
  for_rows(args.rows, 4 * width, [&](std::int64_t row) {
    const bool blended = args.own != nullptr && row >= args.first_summary;
    const std::int64_t slot = args.slots[row];
    kernels_.place({.qkv = args.qkv + row * width,
                    .own = blended ? args.own + (row - args.first_summary) * width : nullptr,
                    .mix = args.mix,
                    .q_norm = args.q_norm,
                    .k_norm = args.k_norm,
                    .epsilon = args.epsilon,
                    .rotation = args.rotation + row * kv.head_dim,
                    .heads = args.heads,
                    .kv_heads = kv.kv_heads,
                    .head_dim = kv.head_dim,
                    .key = slot < 0 ? nullptr : kv.key(slot / kv.page_entries, 0, slot % kv.page_entries),
                    .head_bytes = kv.page_entries * kv.head_dim * size_of(kv.type),
                    .value_offset = kv.value_offset,
                    .type = type});
  });
}

void CpuOps::attention(const AttentionArgs& args) {
  const KvView& kv = args.kv;
  const std::int64_t group = args.heads / kv.kv_heads;
  const std::int64_t tile_rows = std::clamp<std::int64_t>(tile_queries / group, 1, max_tile_rows);
  tiles_.clear();
  for (const RowRun& run : args.runs) {
    for (std::int64_t row = 0; row < run.rows; row += tile_rows) {
      tiles_.push_back({&run, run.first_row + row, std::min(tile_rows, run.rows - row)});
    }
  }
  reserve_scratch(kernels_.attention_scratch(tile_rows, group, kv.head_dim));
  const Element type = kv_element_of(kv.type);
  const auto count = static_cast<std::int64_t>(tiles_.size()) * kv.kv_heads;
  constexpr std::int64_t bounds_stride = sizeof(RowBounds) / sizeof(std::int32_t);
  pool_.for_each(count, [&](std::int64_t task, int worker) {
    // From the end: there a prompt's rows see most, and the last tasks to be handed out should be short.
    const std::int64_t unit = count - 1 - task;
    const RowTile& tile = tiles_[static_cast<std::size_t>(unit / kv.kv_heads)];
    const std::int64_t head = unit % kv.kv_heads;
    const std::int64_t first_dimension = head * group * kv.head_dim;
    const RowBounds& bounds = args.bounds[tile.first_row];
    const RowRun& run = *tile.run;
    kernels_.attention({.q = args.q + tile.first_row * args.q_stride + first_dimension,
                        .q_stride = args.q_stride,
                        .out = args.out + tile.first_row * args.heads * kv.head_dim + first_dimension,
                        .out_stride = args.heads * kv.head_dim,
                        .rows = tile.rows,
                        .group = group,
                        .head_dim = kv.head_dim,
                        .scale = args.scale,
                        .low = {&bounds.summary.low, &bounds.text.low},
                        .high = {&bounds.summary.high, &bounds.text.high},
                        .bounds_stride = bounds_stride,
                        .tables = {{run.summary.pages, run.summary.first_page}, {run.text.pages, run.text.first_page}},
                        .keys = kv.key(0, head, 0),
                        .page_bytes = kv.page_bytes,
                        .value_offset = kv.value_offset,
                        .page_entries = kv.page_entries,
                        .type = type,
                        .scratch = scratch(worker)});
  });
}

void CpuOps::gate(const GateArgs& args) {
  constexpr std::int64_t element_cost = 4;
  for_rows(args.rows, args.width * element_cost, [&](std::int64_t row) {
    kernels_.gate({args.x + row * 2 * args.width, args.y + row * args.width, args.width});
  });
}

void CpuOps::gather(const GatherArgs& args) {
  for_rows(args.count, args.width, [&](std::int64_t row) {
    std::memcpy(args.y + row * args.width, args.x + args.rows[row] * args.width,
                static_cast<std::size_t>(args.width) * sizeof(float));
  });
}

void CpuOps::copy_pages(const CopyPagesArgs& args) {
  for (const PageCopy& copy : args.copies) {  // in order: a page may be both a source and, before, a destination
    std::memcpy(args.base + copy.to * args.page_bytes, args.base + copy.from * args.page_bytes,
                static_cast<std::size_t>(args.page_bytes));
  }
}

void CpuOps::to_device(void* device, const void* host, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(device, host, static_cast<std::size_t>(bytes));
}

const void* CpuOps::on_host(const void* device, std::int64_t) {
  return device;
}

}  // namespace precis::cpu
