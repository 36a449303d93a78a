#define PRECIS_ISA avx512
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
