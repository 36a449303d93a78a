// The most memory that this process has held at once.
#pragma once

#include <cstdint>

namespace precis {

// Since its start, or since forget_peak(). In bytes; what is mapped from files and was touched counts too.
std::int64_t peak_memory();

// What is held now is the peak again, where the system can do that.
void forget_peak();

}  // namespace precis
