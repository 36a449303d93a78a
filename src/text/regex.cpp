#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "text/utf8.h"

namespace precis {
namespace {

// Unicode's White_Space. PCRE2's own \s also takes U+180E, which left that property with Unicode 6.3.
constexpr std::string_view space_class = "\\x{09}-\\x{0d}\\x{85}\\p{Z}";
constexpr std::string_view word_class = "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}";
constexpr std::string_view hex_class = "0-9a-fA-F";

// Rewrites one pattern, left to right.
class PatternReader {
 public:
  explicit PatternReader(std::string_view pattern) : rest_(pattern) {}

  std::string rewritten() {
    while (!rest_.empty()) step();
    return std::move(out_);
  }

 private:
  void step() {
    const char c = rest_[0];
    if (c == '\\') return escape();
    if (in_class_) return class_char(c);
    if (c == '[') return open_class();
    if (c == '(' && rest_.starts_with("(?")) return group();
    // Ruby reads x{1,3}+ as (x{1,3})+, PCRE2 as a possessive x{1,3}.
    if (c == '}' && rest_.starts_with("}+")) fail("'}}+' is not understood");
    take(1);
  }

  void open_class() {
    in_class_ = true;
    take(rest_.starts_with("[^") ? 2 : 1);
    if (rest_.starts_with("]")) take(1);
  }

  void class_char(char c) {
    if (rest_.starts_with("&&")) fail("'&&' in a character class is not understood");
    if (c == '[' && !rest_.starts_with("[:")) fail("a character class in a character class is not understood");
    if (rest_.starts_with("[:")) {
      const std::size_t end = rest_.find(":]");
      if (end == std::string_view::npos) fail("'[:' without ':]'");
      return take(end + 2);
    }
    if (c == ']') in_class_ = false;
    take(1);
  }

  void escape() {
    if (rest_.size() < 2) fail("a lone '\\' at the end");
    const char c = rest_[1];
    if (c == 's') return put_class(space_class, false);
    if (c == 'w') return put_class(word_class, false);
    if (c == 'h') return put_class(hex_class, false);
    if (c == 'S' && !in_class_) return put_class(space_class, true);
    if (c == 'W' && !in_class_) return put_class(word_class, true);
    if (c == 'H' && !in_class_) return put_class(hex_class, true);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter && std::string_view("rntfvadDpPbBxS").find(c) == std::string_view::npos) {
      fail("'\\{}' is not understood", c);
    }
    const bool braced =
        rest_.size() > 2 && rest_[2] == '{' && std::string_view("pPx").find(c) != std::string_view::npos;
    take(braced ? std::min(rest_.find('}'), rest_.size() - 1) + 1 : 2);
  }

  void put_class(std::string_view content, bool inverted) {
    if (in_class_) {
      out_ += content;
    } else {
      out_ += inverted ? "[^" : "[";
      out_ += content;
      out_ += ']';
    }
    rest_.remove_prefix(2);
  }

  // "(?:" and the assertions mean the same in both; of the flags only i does (Ruby's m is PCRE2's s).
  void group() {
    for (const std::string_view same : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (rest_.starts_with(same)) return take(same.size());
    }
    const std::size_t end = std::min(rest_.find(':'), rest_.find(')'));
    if (end == std::string_view::npos || rest_.substr(2, end - 2).find_first_not_of("i-") != std::string_view::npos) {
      fail("{} is not understood", in_quotes(rest_.substr(0, 4)));
    }
    take(end + 1);
  }

  void take(std::size_t count) {
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(count);
  }

  std::string_view rest_;
  std::string out_;
  bool in_class_ = false;
};

template <auto Free>
struct Freeing {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using Handle = std::unique_ptr<T, Freeing<Free>>;
using MatchData = Handle<pcre2_match_data, pcre2_match_data_free>;
using MatchContext = Handle<pcre2_match_context, pcre2_match_context_free>;
using JitStack = Handle<pcre2_jit_stack, pcre2_jit_stack_free>;

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

constexpr std::size_t jit_stack_start = 32 << 10;
constexpr std::size_t jit_stack_most = 256 << 20;

// Enough for patterns that step back once over all they read, far too little for exponential ones.
std::uint32_t match_limit(std::size_t bytes) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(10'000'000 + std::uint64_t{64} * bytes, UINT32_MAX));
}

}  // namespace

struct Regex::Compiled {
  Handle<pcre2_code, pcre2_code_free> code;
};

std::string pcre2_pattern(std::string_view oniguruma) {
  return PatternReader(oniguruma).rewritten();
}

Regex::Regex(std::string_view pattern) {
  const std::string text = pcre2_pattern(pattern);
  Handle<pcre2_compile_context, pcre2_compile_context_free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // In Ruby, ^ and $ always hold at every line.
  const std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), options, &error, &offset, context.get()));
  if (!compiled->code) fail("{} is not a pattern: {} (at {})", in_quotes(pattern), message_of(error), offset);
  // Without a JIT for this machine the interpreter matches; the result is the same.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  compiled_ = std::move(compiled);
}

std::vector<TextRange> Regex::matches(std::string_view text) const {
  const pcre2_code* code = compiled_->code.get();
  const MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
  const MatchContext context(pcre2_match_context_create(nullptr));
  PRECIS_CHECK(data && context);
  pcre2_set_match_limit(context.get(), match_limit(text.size()));
  JitStack stack;
  std::vector<TextRange> found;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::uint32_t options = PCRE2_NO_UTF_CHECK;
  for (std::size_t at = 0; at <= text.size();) {
    const int result = pcre2_match(code, subject, text.size(), at, options, data.get(), context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !stack) {
      stack.reset(pcre2_jit_stack_create(jit_stack_start, jit_stack_most, nullptr));
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      continue;
    }
    if (result < 0) fail("the splitting pattern gives up on this text: {}", message_of(result));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    found.push_back({range[0], range[1]});
    at = range[1];
    if (range[0] == range[1]) {
      if (at == text.size()) break;
      at += first_char(text.substr(at)).length;
    }
  }
  return found;
}

}  // namespace precis
