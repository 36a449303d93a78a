// The kernels for x86-64-v4 with AMX: products of tiles of bf16 and of bytes. Options in cmake/isa.cmake.
#define PRECIS_ISA amx
#if defined(__x86_64__)
#include "backend/cpu/kernels.inc"
#endif
