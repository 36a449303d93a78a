// The kernels for x86-64-v3: AVX2, FMA, F16C. Options in cmake/isa.cmake.
#define PRECIS_ISA avx2
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
