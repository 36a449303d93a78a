// What a command reads: text from a file or standard input, JSON lists.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// The whole of `path`; "-" is standard input; a pipe is read to its end. `flag` is named in messages. At most 1 GiB.
std::string read_input(std::string_view flag, const std::string& path);

// A JSON list of strings, from a file or "-".
std::vector<std::string> read_text_list(std::string_view flag, const std::string& path);
// A JSON list of lists of ids, from a file or "-".
std::vector<std::vector<std::int32_t>> read_id_lists(std::string_view flag, const std::string& path);

}  // namespace precis
