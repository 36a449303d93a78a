#define PRECIS_ISA baseline
#include "backend/cpu/kernels.inc"
