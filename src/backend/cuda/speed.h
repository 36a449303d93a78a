// How fast the GPU reads its memory and multiplies.
#pragma once

#include <memory>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/matrix_products.h"
#include "device/device.h"

namespace precis::cuda {

DeviceSpeed measure_speed(const std::shared_ptr<Stream>& stream, MatrixProducts& products);

// Bytes a second that are read.
double measure_read_speed(const std::shared_ptr<Stream>& stream);

// speed.cu. The sum of `words` words, a multiple of 4, modulo 2^32 is added to *sum.
void launch_sum_words(const std::uint32_t* from, std::int64_t words, std::uint32_t* sum, cudaStream_t stream);
// bf16 of about -1 to 1, each another one: tensor cores are faster with zeros than with numbers.
void launch_fill(std::uint16_t* to, std::int64_t count, cudaStream_t stream);

}  // namespace precis::cuda
