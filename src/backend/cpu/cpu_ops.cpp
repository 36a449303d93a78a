#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/draw.h"
#include "base/error.h"
#include "base/largest.h"

namespace precis::cpu {
namespace {

constexpr std::size_t scratch_alignment = 64;
// Rows that are converted at a time for products of many.
constexpr std::int64_t slab_rows = 1024;

float* aligned(float* memory) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  return memory + (scratch_alignment - address % scratch_alignment) % scratch_alignment / sizeof(float);
}

Element plain_element(WeightFormat format) {
  return format == WeightFormat::f32 ? Element::f32 : format == WeightFormat::f16 ? Element::f16 : Element::bf16;
}

}  // namespace

Element element_of(DType type) {
  if (type == DType::f32) return Element::f32;
  if (type == DType::f8_e4m3) return Element::f8;
  PRECIS_CHECK(type == DType::bf16, "no kernel for {}", name_of(type));
  return Element::bf16;
}

CpuOps::CpuOps(const Kernels& kernels, int threads, bool exact_activations)
    : kernels_(kernels),
      exact_activations_(exact_activations),
      pool_(threads),
      attention_(kernels),
      scratch_(static_cast<std::size_t>(pool_.workers())) {}

void CpuOps::reserve_scratch(std::int64_t floats) {
  const auto wanted = static_cast<std::size_t>(floats) + scratch_alignment / sizeof(float);
  for (std::vector<float>& memory : scratch_) {
    if (memory.size() < wanted) memory.resize(wanted);
  }
}

float* CpuOps::scratch(int worker) {
  return aligned(scratch_[static_cast<std::size_t>(worker)].data());
}

std::byte* CpuOps::converted_rows(std::int64_t bytes) {
  const auto wanted = (static_cast<std::size_t>(bytes) + scratch_alignment) / sizeof(float) + 1;
  if (converted_.size() < wanted) converted_.resize(wanted);
  return reinterpret_cast<std::byte*>(aligned(converted_.data()));
}

void CpuOps::embed(const EmbedArgs& args) {
  const WeightView& table = args.table;
  const std::int64_t width = table.inputs;
  for_rows(args.rows, width, [&](std::int64_t row) {
    const std::int32_t id = args.id(row);
    float* x = args.x + row * width;
    if (is_quantized(table.format)) {
      dequantize_row(table.format, table.row(id), table.row_scales(id), {x, static_cast<std::size_t>(width)});
    } else {
      kernels_.widen(plain_element(table.format), table.row(id), x, width);
    }
  });
}

void CpuOps::rms_norm(const RmsNormArgs& args) {
  for_rows(args.rows, 2 * args.width, [&](std::int64_t row) {
    kernels_.norm({args.x + row * args.width, args.weight, args.y + row * args.width, args.width, args.epsilon});
  });
}

std::int64_t CpuOps::most_few_rows(const WeightView& weight) const {
  return kernels_.few_rows(form_of(weight, kernels_, exact_activations_));
}

void CpuOps::linear(const LinearArgs& args) {
  if (args.rows == 0 || args.parts.empty()) return;
  const bool are_few = std::all_of(args.parts.begin(), args.parts.end(),
                                   [&](const LinearPart& part) { return args.rows <= most_few_rows(part.weight); });
  if (are_few) return linear_few(args);
  for (std::int64_t row = 0; row < args.rows; row += slab_rows) {
    linear_many(args, row, std::min(slab_rows, args.rows - row));
  }
}

void CpuOps::gate_up(const GateUpArgs& args) {
  if (args.rows == 0) return;
  if (args.rows <= std::min(most_few_rows(args.gate.weight), most_few_rows(args.up.weight))) return gate_up_few(args);
  for (std::int64_t row = 0; row < args.rows; row += slab_rows) {
    gate_up_many(args, row, std::min(slab_rows, args.rows - row));
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
  const std::int64_t length = kv.kv_heads * kv.head_dim;
  const Element type = element_of(kv.type);
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
                    .type = type,
                    .query_sums = args.query_sums == nullptr ? nullptr : args.query_sums + row * length,
                    .plain_keys = args.plain_keys == nullptr ? nullptr : args.plain_keys + row * length});
  });
}

void CpuOps::attention(const AttentionArgs& args) {
  attention_.make(args, element_of(args.kv.type), pool_.workers());
  reserve_scratch(attention_.scratch_floats());
  const auto work = [&](std::int64_t unit, int worker) { attention_.work(unit, scratch(worker)); };
  if (attention_.worth_sharing()) {
    pool_.for_each(attention_.units(), work);
  } else {
    for (std::int64_t unit = 0; unit < attention_.units(); ++unit) work(unit, 0);
  }
}

void CpuOps::gather(const GatherArgs& args) {
  for_rows(args.count, args.width, [&](std::int64_t row) {
    std::memcpy(args.y + row * args.width, args.x + args.rows[row] * args.width,
                static_cast<std::size_t>(args.width) * sizeof(float));
  });
}

void CpuOps::most_likely(const MostLikelyArgs& args) {
  const auto width = static_cast<std::size_t>(args.vocabulary);
  for_rows(args.rows, args.vocabulary, [&](std::int64_t row) {
    args.ids[row] = index_of_largest({args.logits + row * args.vocabulary, width});
  });
}

void CpuOps::draw(const DrawArgs& args) {
  most_likely({args.logits, args.ids, args.rows, args.vocabulary});
  constexpr std::int64_t id_cost = 16;  // an exponential in double
  const auto width = static_cast<std::size_t>(args.vocabulary);
  for_rows(args.rows, id_cost * args.vocabulary, [&](std::int64_t row) {
    draw_row({args.logits + row * args.vocabulary, width}, args.options[row], args.ids[row], args.draws[row]);
  });
}

void CpuOps::copy_pages(const CopyPagesArgs& args) {
  for (const PageCopy& copy : args.copies) {  // in order: a page may be both a source and, before, a destination
    for (std::int64_t array = 0; array < args.arrays; ++array) {
      std::byte* pages = args.base + array * args.array_bytes;
      std::memcpy(pages + copy.to * args.page_bytes, pages + copy.from * args.page_bytes,
                  static_cast<std::size_t>(args.page_bytes));
    }
  }
}

void CpuOps::to_device(void* device, const void* host, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(device, host, static_cast<std::size_t>(bytes));
}

const void* CpuOps::on_host(const void* device, std::int64_t) {
  return device;
}

}  // namespace precis::cpu
