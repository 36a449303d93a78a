#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace precis::cpu {
namespace {

// Element operations below which waking the workers costs more than they save (1 to 2 us).
constexpr std::int64_t worth_sharing = 16384;
// A block of weights that stays in the second-level cache while all row tiles of a task pass over it.
constexpr std::int64_t weight_block_bytes = 128 << 10;
constexpr std::int64_t row_block = 96;
constexpr std::size_t scratch_alignment = 64;

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

Element element_of(DType type) {
  switch (type) {
    case DType::f32:
      return Element::f32;
    case DType::f16:
      return Element::f16;
    case DType::bf16:
      return Element::bf16;
    default:
      break;
  }
  PRECIS_CHECK(false, "no kernel for {}", name_of(type));
  return Element::f32;
}

Element kv_element_of(DType type) {
  PRECIS_CHECK(type == DType::f32 || type == DType::bf16, "no kernel for KV in {}", name_of(type));
  return element_of(type);
}

const std::byte* row_of(const WeightView& weight, std::int64_t row) {
  return static_cast<const std::byte*>(weight.data) + row * weight.inputs * size_of(weight.type);
}

// Outputs of a task: a block that fits the cache, but small enough for every worker to get some.
std::int64_t outputs_per_task(const LinearPart& part, std::int64_t outputs, std::int64_t row_tasks, int workers) {
  constexpr std::int64_t step = 8;  // outputs of the widest kernel tile
  const std::int64_t row_bytes = part.weight.inputs * size_of(part.weight.type);
  const std::int64_t cached = std::max(weight_block_bytes / row_bytes, step);
  const std::int64_t shared = divided_up(outputs * row_tasks, std::int64_t{4} * workers);
  return divided_up(std::min(cached, shared), step) * step;
}

}  // namespace

CpuOps::CpuOps(const Kernels& kernels, int threads)
    : kernels_(kernels), pool_(threads), attention_(kernels), scratch_(static_cast<std::size_t>(pool_.workers())) {}

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
    kernels_.widen(element_of(args.table.type), row_of(args.table, args.ids[row]), args.x + row * width, width);
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
                     .weight = row_of(part->weight, first),
                     .type = element_of(part->weight.type),
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
  attention_.make(args, kv_element_of(args.kv.type), pool_.workers());
  reserve_scratch(attention_.scratch_floats());
  const auto work = [&](std::int64_t unit, int worker) { attention_.work(unit, scratch(worker)); };
  if (attention_.worth_sharing()) {
    pool_.for_each(attention_.units(), work);
  } else {
    for (std::int64_t unit = 0; unit < attention_.units(); ++unit) work(unit, 0);
  }
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

void CpuOps::to_host(void* host, const void* device, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(host, device, static_cast<std::size_t>(bytes));
}

}  // namespace precis::cpu
