// Whether a reply holds what was asked for: a strict rule, which `precis eval needle --help` states.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

enum class Verdict : std::uint8_t {
  right,
  missing,  // an answer is not in the reply
  several,  // beside the answers the reply lists others of their kind
  cut,      // the reply did not come to its end
};

// "right", "missing", "several", "cut"
std::string_view verdict_name(Verdict verdict);

// `word` stands in `text` as a whole: no letter or digit, and no hyphen, point or comma that joins it to one, stands
// beside it. Upper and lower case of ASCII letters are the same.
bool has_word(std::string_view text, std::string_view word);

// `reply` names something of the kind of an answer that is none of `answers`: for a number any other number of as many
// digits, for a value of fact_kinds() any other of its kind.
bool lists_others(std::string_view reply, const std::vector<std::string>& answers);

// `ended`: the model ended the reply itself.
Verdict judge(std::string_view reply, bool ended, const std::vector<std::string>& answers);

}  // namespace precis
