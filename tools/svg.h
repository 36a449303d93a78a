// What the pictures of this program share. SVG is text: no library draws it.
#pragma once

#include <string>
#include <string_view>

namespace precis {

// Fit to stand between tags and in quotes: markup escaped, '?' for what XML may not have (control characters, bytes
// that are no UTF-8).
std::string svg_escaped(std::string_view text);

// A line of text in the reader's ink; `said` is escaped.
std::string svg_text(double x, double y, std::string_view said, std::string_view anchor = "middle", int size = 12);

// A whole picture on its paper. Ink (class "ink", "ink-line" as a stroke) and paper follow the reader's scheme, light
// or dark; what else does is in `light` and `dark`, CSS rules. `title`, `description` and `content` are escaped.
struct SvgPicture {
  double width = 0;
  double height = 0;
  std::string title;
  std::string description;  // what it shows, for those who do not see it
  std::string light;
  std::string dark;
  std::string content;
};
std::string svg_document(const SvgPicture& picture);

}  // namespace precis
