#include "jinja/template.h"

#include "base/error.h"
#include "jinja/parser.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

constexpr std::size_t longest_source = 256 << 10;  // twenty times the longest in use

std::string_view checked(std::string_view source) {
  if (source.size() > longest_source) {
    fail("the template has {} bytes, at most {} expected", source.size(), longest_source);
  }
  return source;
}

}  // namespace

Template::Template(std::string_view source) : block_(parse(to_utf8(checked(source)))) {}

MarkedText Template::render(const Variables& variables, const Limits& limits, std::optional<std::time_t> now) const {
  return Evaluator(variables, Context{.budget = Budget(limits), .now = now}).run(block_);
}

}  // namespace precis::jinja
