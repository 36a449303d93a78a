// Barriers in shared memory, by which warps that load and warps that compute wait for each other (compute capability
// 9.0).
//
// A barrier counts arrivals; when as many have come as it was made for, its phase ends and the next one begins. Phases
// are told apart by their parity: the first one's is 0.
#pragma once

#include <cstdio>

#include "backend/cuda/tensor_core.cuh"

namespace precis::cuda {

using Barrier = std::uint64_t;

__device__ inline void make_barrier(Barrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
// What this thread did before is seen by those who waited.
__device__ inline void arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
// Arrives when the copies that this thread has begun are done.
__device__ inline void arrive_after_copies(Barrier& barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(&barrier)) : "memory");
}

__device__ inline bool has_ended(Barrier& barrier, unsigned parity) {
  unsigned ended;
  asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.b32 %0, 1, 0, p;}"
               : "=r"(ended)
               : "r"(shared_address(&barrier)), "r"(parity)
               : "memory");
  return ended != 0;
}
// Until the phase of this parity has ended.
__device__ inline void wait_for(Barrier& barrier, unsigned parity) {
#ifdef PRECIS_WATCHDOG  // for tests: a kernel that hangs ends
  const long long begin = clock64();
  while (!has_ended(barrier, parity)) {
    if (clock64() - begin < 4'000'000'000LL) continue;
    printf("hangs: block (%d, %d) thread %d barrier at %u parity %u\n", blockIdx.x, blockIdx.y, threadIdx.x,
           shared_address(&barrier), parity);
    __trap();
  }
#else
  while (!has_ended(barrier, parity)) {
  }
#endif
}

// Shared memory that was written before is what products and copies in the background read after.
__device__ inline void fence_background() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// The numbered barriers of a block (0 is __syncthreads()): `threads` come, some of which do not wait.
__device__ inline void meet(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ inline void meet_without_waiting(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// Where in a ring of `stages` places a warp is, and the parity of the phase there.
template <int stages>
struct RingPlace {
  int stage = 0;
  unsigned parity = 0;

  __device__ void advance() {
    if (++stage < stages) return;
    stage = 0;
    parity ^= 1U;
  }
};

}  // namespace precis::cuda
