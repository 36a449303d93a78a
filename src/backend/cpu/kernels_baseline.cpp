// The kernels for what every machine of the architecture runs. Options in cmake/isa.cmake.
#define PRECIS_ISA baseline
#include "backend/cpu/kernels.inc"
