// The kernels for x86-64-v4: AVX-512 F, BW, CD, DQ, VL. Options in cmake/isa.cmake.
#define PRECIS_ISA avx512
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
