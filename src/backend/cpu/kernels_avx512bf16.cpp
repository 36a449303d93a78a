// The kernels for x86-64-v4 with products of bf16, of small integers and of matrices of bits. Options in
// cmake/isa.cmake.
#define PRECIS_ISA avx512bf16
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
