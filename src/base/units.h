// The functions of include/precis/units.h for the rooms below the door, which may not include it.
#pragma once

#include <cstdint>
#include <string>

namespace precis {

std::string shown_bytes(double bytes);
std::string shown_count(std::int64_t count);

}  // namespace precis
