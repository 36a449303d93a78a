#include "svg.h"

#include <fmt/format.h>

#include <cstdint>

namespace precis {

namespace {

struct Character {
  std::size_t bytes = 1;
  bool allowed = false;  // it is UTF-8, and XML may have it
};

Character first_character(std::string_view text) {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, lead >= 0x20 && lead != 0x7F};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0x7FU >> bytes);
  for (std::size_t at = 1; at < bytes; ++at) {
    if ((byte(at) & 0xC0U) != 0x80) return {};
    code = code << 6 | (byte(at) & 0x3FU);
  }
  const bool overlong = code < (bytes == 4 ? 0x10000U : bytes == 3 ? 0x800U : 0x80U);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return {};
  // Those of two bytes below U+00A0 are control characters.
  return {bytes, code >= 0xA0 && code != 0xFFFE && code != 0xFFFF};
}

}  // namespace

std::string svg_escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    if (text.front() == '&') {
      out += "&amp;";
    } else if (text.front() == '<') {
      out += "&lt;";
    } else if (text.front() == '>') {
      out += "&gt;";
    } else if (text.front() == '"') {
      out += "&quot;";
    } else {
      out += character.allowed ? text.substr(0, character.bytes) : "?";
    }
    text.remove_prefix(character.bytes);
  }
  return out;
}

std::string svg_text(double x, double y, std::string_view said, std::string_view anchor, int size) {
  return fmt::format("<text class=\"ink\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\">{}</text>\n", x,
                     y, anchor, size, said);
}

std::string svg_document(const SvgPicture& picture) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" font-family="sans-serif" role="img" aria-labelledby="title desc">
<title id="title">{2}</title>
<desc id="desc">{3}</desc>
<style>
.paper {{ fill: #ffffff }} .ink {{ fill: #333333 }} .ink-line {{ stroke: #333333 }}
{4}
@media (prefers-color-scheme: dark) {{
.paper {{ fill: #16181c }} .ink {{ fill: #dddddd }} .ink-line {{ stroke: #dddddd }}
{5}
}}
</style>
<rect class="paper" width="{0:.0f}" height="{1:.0f}"/>
{6}</svg>
)",
      picture.width, picture.height, picture.title, picture.description, picture.light, picture.dark, picture.content);
}

}  // namespace precis
