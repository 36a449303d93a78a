// Comma-separated values, as spreadsheets read them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace precis {

// Names and values, which are quoted where a comma or a quote would split them.
using CsvRow = std::vector<std::pair<std::string, std::string>>;

// A line of names and one of values of each row, which all have the same names.
std::string csv(const std::vector<CsvRow>& rows);
std::string csv_number(double value);

}  // namespace precis
