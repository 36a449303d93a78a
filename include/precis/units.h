// Numbers as people of this field write them.
#pragma once

#include <cstdint>
#include <string>

namespace precis {

// "6.75 GB", "312 kB", "84 B": decimal units, three significant digits.
std::string shown_bytes(double bytes);
// "12,345,678"
std::string shown_count(std::int64_t count);

}  // namespace precis
