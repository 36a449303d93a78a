#define PRECIS_ISA avx2
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
