// Numbers as they are typed; what else shows them is precis/units.h. All parsers throw std::runtime_error with one line
// that names the flag, the value and what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "precis/units.h"

namespace precis {

// "4096", "32k" (32768), "1M", "-1"; in [low, high].
std::int64_t parse_count(std::string_view flag, std::string_view text, std::int64_t low, std::int64_t high);
// "512", "0,4096,16k": at least one count, each in [low, high].
std::vector<std::int64_t> parse_counts(std::string_view flag, std::string_view text, std::int64_t low,
                                       std::int64_t high);
// "8G", "512M", "1.5GiB", "4096": bytes, powers of 1024; at least 0.
std::int64_t parse_bytes(std::string_view flag, std::string_view text);
// "0.8", "1e-3"; finite, in [low, high].
double parse_number(std::string_view flag, std::string_view text, double low, double high);
// "1,2,3", "1 2 3", "[1, 2, 3]"
std::vector<std::int32_t> parse_ids(std::string_view flag, std::string_view text);
// "ID=VALUE", and llama.cpp's "ID+VALUE" and "ID-VALUE".
std::pair<std::int32_t, float> parse_bias(std::string_view flag, std::string_view text);

// "16k", "1M", "1000": as parse_count reads it.
std::string shown_tokens(std::int64_t tokens);
// A value from outside, in quotes, control characters escaped, cut to `columns` characters: fit for one line.
std::string shown_text(std::string_view text, std::size_t columns = 60);

}  // namespace precis
