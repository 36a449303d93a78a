// What the forms of `precis bench`'s results share.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench_result.h"

namespace precis {

// "| a | b |"
std::string markdown_row(const std::vector<std::string>& cells);
// "596.0 M"
std::string shown_parameters(std::int64_t count);
// "71.3 %"
std::string shown_share(double share);
// "1.22 GB (device 0.31 GB, far 0.91 GB)", the latter two where there is far memory.
std::string shown_kv(std::int64_t bytes, std::int64_t far_bytes);
// What the machine gave at best, in words: a sentence's beginning, with the model's name.
std::string shown_machine(const BenchReport& report);

// A line of names and one of values of each row, which all have the same names.
using CsvRow = std::vector<std::pair<std::string, std::string>>;
std::string csv(const std::vector<CsvRow>& rows);
// Model and options, and what the machine can do: the first and the last columns of a row.
CsvRow csv_model(const BenchReport& report);
CsvRow csv_machine(const BenchReport& report);
std::string csv_number(double value);

// The same as members of an object.
nlohmann::ordered_json bench_json_head(const BenchReport& report);
// Numbers a second as giga.
nlohmann::ordered_json giga_of(const std::vector<double>& values);
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace precis
