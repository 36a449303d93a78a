#include "engine/device_budget.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/units.h"

namespace precis {
namespace {

// Partial sums of attention (128 MiB), part of a dequantized matrix (64 MiB), workspace of the products' library,
// recorded steps of about a megabyte each, and what the driver rounds up.
constexpr std::int64_t fixed_scratch = std::int64_t{640} << 20;

// K and V of 8 bits of one layer, as bf16 for prompts, at most.
constexpr std::int64_t widened_scratch = std::int64_t{512} << 20;

// Rows that a CPU's products convert at a time.
constexpr std::int64_t rows_at_a_time = 1024;
// What a worker keeps of quantized weights and of their products' sums.
constexpr std::int64_t panel_bytes = std::int64_t{1} << 20;

std::string shown(std::int64_t bytes) {
  return shown_bytes(static_cast<double>(bytes));
}

}  // namespace

std::int64_t scratch_bytes(const ModelSpec& spec, DType kv_type, std::int64_t rows) {
  const std::int64_t inputs = std::max({spec.hidden, spec.ffn, spec.heads * spec.head_dim});
  return rows * (inputs + 2 * spec.ffn) * std::int64_t{sizeof(float)} + fixed_scratch +
         (kv_type == DType::f8_e4m3 ? widened_scratch : 0);
}

std::int64_t host_scratch_bytes(const ModelSpec& spec, const HostScratch& host, std::int64_t rows) {
  const std::int64_t inputs = std::max({spec.hidden, spec.ffn, spec.heads * spec.head_dim});
  const std::int64_t number_bytes = host.exact ? sizeof(float) : sizeof(std::int16_t);
  return std::min(rows, rows_at_a_time) * inputs * number_bytes + (host.quantized ? host.workers * panel_bytes : 0);
}

std::int64_t pool_share(double share, const DeviceMemory& memory, const DeviceNeeds& needs) {
  const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(memory.total));
  if (wanted <= needs.all()) {
    fail("gpu_memory_utilization: {:g} of the GPU's {} is {}, expected more than the {} of weights ({}) and steps ({})",
         share, shown(memory.total), shown(wanted), shown(needs.all()), shown(needs.weights),
         shown(needs.workspace + needs.scratch));
  }
  return wanted - needs.all();
}

}  // namespace precis
