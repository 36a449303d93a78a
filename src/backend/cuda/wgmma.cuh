// The instructions of Hopper's tensor cores (wgmma, compute capability 9.0a): a warpgroup, 4 warps from one whose index
// is divisible by 4 on, multiplies in the background what lies in shared memory.
//
// Order of calls: fence_products() after registers that a product adds to or takes were written; products; one
// commit_products(); wait_for_products<n>() until all but the last n commits are done. hold() the registers that are
// read then: to the compiler, they are ready when the product is called.
#pragma once

#include "backend/cuda/numbers.cuh"

namespace precis::cuda {

// Operands lie in columns of 64 bf16: of each row (of Q and K a query or an entry, of V an entry) 128 bytes, row after
// row, and a row's 8 pieces of 16 bytes in an order that the row decides, for 8 rows that are read at once to lie in
// different banks. Columns begin at multiples of 1024 bytes.
constexpr int column_dims = 64;

// Where in a column the 8 numbers of a row from 8 piece on lie, in bytes.
__host__ __device__ constexpr int swizzled(int row, int piece) {
  return 128 * row + 16 * (piece ^ row % 8);
}

// Tells a product where an operand begins. `column_bytes`: from one column to the next, for an operand whose columns
// are the product's (V); of others (Q, K) a product takes 16 numbers of one column alone.
__host__ __device__ constexpr std::uint64_t operand_at(unsigned address, unsigned column_bytes) {
  constexpr std::uint64_t eight_rows = 8 * 128;
  constexpr std::uint64_t order_128_bytes = 1;
  return std::uint64_t{(address & 0x3ffffU) >> 4} | std::uint64_t{column_bytes >> 4} << 16 | (eight_rows >> 4) << 32 |
         order_128_bytes << 62;
}
// What to add to it to begin so many bytes further on.
__host__ __device__ constexpr std::uint64_t operand_step(int bytes) {
  return static_cast<std::uint64_t>(bytes) >> 4;
}

__device__ __forceinline__ void fence_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int left>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}

template <int count>
__device__ __forceinline__ void hold(float (&registers)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int count>
__device__ __forceinline__ void hold(std::uint32_t (&registers)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

// Registers of this warpgroup's threads from now on; the block's together stay what they were when it began.
template <int registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

#define PRECIS_SUMS_4(d, i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define PRECIS_SUMS_16(d, i) \
  PRECIS_SUMS_4(d, i), PRECIS_SUMS_4(d, (i) + 4), PRECIS_SUMS_4(d, (i) + 8), PRECIS_SUMS_4(d, (i) + 12)
#define PRECIS_SUMS_32(d) PRECIS_SUMS_16(d, 0), PRECIS_SUMS_16(d, 16)
#define PRECIS_SUMS_64(d) PRECIS_SUMS_32(d), PRECIS_SUMS_16(d, 32), PRECIS_SUMS_16(d, 48)
#define PRECIS_SUMS_128(d) \
  PRECIS_SUMS_64(d), PRECIS_SUMS_16(d, 64), PRECIS_SUMS_16(d, 80), PRECIS_SUMS_16(d, 96), PRECIS_SUMS_16(d, 112)

// d = a b, or d += a b if `add`: d is 64 x 2 n in floats, n of them in each thread. A warp has 16 rows, and a thread of
// each piece of 8 columns 4 numbers: row lane / 4, columns 2 (lane % 4) and the next, then the same 8 rows further on.
//
// Of the first kind, a is 64 x 16 with its rows in shared memory, and b^T lies as 2 n rows of 16. Of the second one, a
// is in registers, pairs of bf16 in the same places as numbers of d, and b lies as 16 rows of 2 n.
__device__ __forceinline__ void multiply_add_async(float (&d)[32], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      "{.reg .pred add; setp.ne.b32 add, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, 0, 0;}"
      : PRECIS_SUMS_32(d)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply_add_async(float (&d)[32], const std::uint32_t* a, std::uint64_t b) {
  asm volatile(
      "{.reg .pred add; setp.ne.b32 add, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, add, 1, 1, 1;}"
      : PRECIS_SUMS_32(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(1));
}
__device__ __forceinline__ void multiply_add_async(float (&d)[64], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      "{.reg .pred add; setp.ne.b32 add, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "
      "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, 0, 0;}"
      : PRECIS_SUMS_64(d)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply_add_async(float (&d)[64], const std::uint32_t* a, std::uint64_t b) {
  asm volatile(
      "{.reg .pred add; setp.ne.b32 add, %69, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "
      "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, add, 1, 1, 1;}"
      : PRECIS_SUMS_64(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(1));
}
__device__ __forceinline__ void multiply_add_async(float (&d)[128], const std::uint32_t* a, std::uint64_t b) {
  asm volatile(
      "{.reg .pred add; setp.ne.b32 add, %133, 0; wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "
      "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, "
      "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, "
      "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, "
      "%110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
      "{%128, %129, %130, %131}, %132, add, 1, 1, 1;}"
      : PRECIS_SUMS_128(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(1));
}

#undef PRECIS_SUMS_4
#undef PRECIS_SUMS_16
#undef PRECIS_SUMS_32
#undef PRECIS_SUMS_64
#undef PRECIS_SUMS_128

}  // namespace precis::cuda
