#include "backend/cpu/isa.h"

#include <cstdlib>
#include <string_view>

#include "base/error.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace precis::cpu {

#if defined(__x86_64__)
namespace {

// Tile registers are memory of the kernel's for every thread: a process has to ask for them, once.
bool tiles_permitted() {
#if defined(__linux__)
  constexpr long request = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;    // XFEATURE_XTILEDATA
  static const bool permitted = syscall(SYS_arch_prctl, request, tile_data) == 0;
  return permitted;
#else
  return false;
#endif
}

}  // namespace
#endif

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> kernels;
#if defined(__x86_64__)
  const bool v4 = __builtin_cpu_supports("x86-64-v4");
  // Zen 4, Sapphire Rapids and what came later have all four.
  const bool halves = v4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") &&
                      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni");
  if (halves && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
      __builtin_cpu_supports("amx-bf16") && tiles_permitted()) {
    kernels.push_back(&amx_kernels);
  }
  if (halves) kernels.push_back(&avx512bf16_kernels);
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
