// Chat formats that are known by name, for models whose folder has no template.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace precis {

// Its Jinja; empty for a name that is not known. Beside the usual variables they see `bos_of_texts`: the bos token
// where the tokenizer adds one to texts, else nothing.
std::optional<std::string_view> builtin_template(std::string_view name);
std::vector<std::string_view> builtin_template_names();

}  // namespace precis
