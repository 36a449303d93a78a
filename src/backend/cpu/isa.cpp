#include "backend/cpu/isa.h"

#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace precis::cpu {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> kernels;
#if defined(__x86_64__)
  const bool v4 = __builtin_cpu_supports("x86-64-v4");
  if (v4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) {
    kernels.push_back(&avx512bf16_kernels);
  }
  if (v4) kernels.push_back(&avx512_kernels);
  if (__builtin_cpu_supports("x86-64-v3")) kernels.push_back(&avx2_kernels);
#endif
  kernels.push_back(&baseline_kernels);
  return kernels;
}

const Kernels& chosen_kernels() {
  const std::vector<const Kernels*> kernels = available_kernels();
  const char* wanted = std::getenv("PRECIS_ISA");
  if (wanted == nullptr || *wanted == '\0') return *kernels.front();
  std::vector<std::string_view> names;
  for (const Kernels* candidate : kernels) {
    if (candidate->name == std::string_view(wanted)) return *candidate;
    names.emplace_back(candidate->name);
  }
  fail("PRECIS_ISA: unknown or unsupported here '{}', expected {}", wanted, fmt::join(names, ", "));
}

}  // namespace precis::cpu
