#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace precis {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

// Below these characters every text is in the form already. U+0300 is the first combining mark; compatibility
// characters begin with U+00A0 and decomposable ones with U+00C0.
char32_t first_affected(NormalForm form) {
  switch (form) {
    case NormalForm::nfc:
      return 0x300;
    case NormalForm::nfd:
      return 0xC0;
    case NormalForm::nfkc:
    case NormalForm::nfkd:
      return 0xA0;
  }
  return 0;
}

bool affected(std::string_view text, NormalForm form) {
  const char32_t first = first_affected(form);
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Char c = first_char(text.substr(i));
    if (c.code >= first) return true;
    i += c.length;
  }
  return false;
}

int combining_class(utf8proc_int32_t code) {
  return utf8proc_get_property(code)->combining_class;
}

CodePoints decomposed(std::string_view text, utf8proc_option_t options) {
  // The longest decomposition of one character, U+FDFA, has 18.
  constexpr utf8proc_ssize_t longest = 32;
  utf8proc_int32_t parts[longest];
  CodePoints codes;
  codes.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = first_char(text.substr(i));
    i += c.length;
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, longest, options, &boundary);
    PRECIS_CHECK(count >= 0 && count <= longest);
    codes.insert(codes.end(), parts, parts + count);
  }
  return codes;
}

// utf8proc_decompose() sorts by exchanging neighbours, quadratic in the length of a run of marks.
void sort_marks(CodePoints& codes) {
  for (auto begin = codes.begin(); begin != codes.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, codes.end(), [](auto code) { return combining_class(code) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

}  // namespace

std::string normalized(std::string text, NormalForm form) {
  if (!affected(text, form)) return text;
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0));
  CodePoints codes = decomposed(text, options);
  sort_marks(codes);
  if (compose) {
    const auto count = utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), options);
    PRECIS_CHECK(count >= 0);
    codes.resize(static_cast<std::size_t>(count));
  }
  text.clear();
  for (const auto code : codes) append_utf8(text, static_cast<char32_t>(code));
  return text;
}

bool is_word_char(char32_t code) {
  if (code == 0x200C || code == 0x200D) return true;  // joiners
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

bool is_letter(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

}  // namespace precis
