// Numbers per layer as KSA configurations spell them: KSA.md, "The checkpoint".
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"

namespace precis {

// `value` as one number per layer. It is an integer for all layers, a list of `layers` integers, or a string with
// Python list arithmetic that gives either: "([32]*3+[4096]*1)*3". Numbers reach from 0 to 2^31 - 1. No list on the way
// may have more than 4,096 entries. Throws Error("FILE: key: ...").
std::vector<std::int64_t> read_layer_pattern(const JsonView& value, std::int64_t layers);

}  // namespace precis
