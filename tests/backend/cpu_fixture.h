// The CPU backend's operations with the kernels of one instruction set, beside the reference.
#pragma once

#include <gtest/gtest.h>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/isa.h"
#include "backend/reference/reference_ops.h"
#include "problems.h"

namespace precis {

class CpuOpsTest : public testing::TestWithParam<const cpu::Kernels*> {
 protected:
  std::uint64_t seed_ = fresh_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, "PRECIS_TEST_SEED=" + std::to_string(seed_)};
  Random random_{seed_};
  cpu::CpuOps ops_{*GetParam(), 1};
  reference::ReferenceOps reference_;
};

}  // namespace precis
