// The heat map of a needle report: depths down, lengths along, as such maps are usually drawn.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "needle_result.h"
#include "numbers.h"
#include "svg.h"

namespace precis {

namespace {

constexpr double kLeft = 84;
constexpr double kTop = 78;
constexpr double kCellWidth = 92;
constexpr double kCellHeight = 46;
constexpr double kBelow = 52;
constexpr double kLeastWidth = 460;  // the title's

// Where nothing was asked. A cell has its own colour and an ink that stands out from it.
constexpr const char* kLight = ".none { fill: none; stroke: #999999; stroke-dasharray: 3 3 }";
constexpr const char* kDark = ".none { stroke: #777777 }";

struct Colour {
  double red, green, blue;
};
constexpr std::array kScale = {Colour{178, 69, 15}, Colour{242, 235, 220}, Colour{31, 95, 168}};  // 0, 50, 100 %

Colour colour_of(double percent) {
  const double place = percent / 50;
  const std::size_t below = place < 1 ? 0 : 1;
  const double share = place - static_cast<double>(below);
  const auto between = [share](double from, double to) { return from + share * (to - from); };
  const Colour& low = kScale[below];
  const Colour& high = kScale[below + 1];
  return {between(low.red, high.red), between(low.green, high.green), between(low.blue, high.blue)};
}

const char* ink_on(const Colour& colour) {
  return 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue < 140 ? "#ffffff" : "#222222";
}

std::string cell(double x, double y, const NeedleCount& count, const std::string& place) {
  const Colour colour = colour_of(count.percent());
  const auto part = [](double value) { return std::lround(value); };
  const std::string middle = fmt::format("{:.1f}", x + kCellWidth / 2);
  std::string text = fmt::format("<g><title>{}: {} of {} right</title>", place, count.right, count.all);
  text += fmt::format(
      "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#{:02x}{:02x}{:02x}\"/>", x + 1, y + 1,
      kCellWidth - 2, kCellHeight - 2, part(colour.red), part(colour.green), part(colour.blue));
  text += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"15\" fill=\"{}\">{:.0f} %</text>",
                      middle, y + 21, ink_on(colour), count.percent());
  return text + fmt::format(
                    "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"11\" fill=\"{}\">{} of {}"
                    "</text></g>\n",
                    middle, y + 37, ink_on(colour), count.right, count.all);
}

std::string described(const NeedleTable& table) {
  std::string text;
  for (const std::int64_t length : table.lengths) {
    const NeedleCount& count = table.totals.at(length);
    text += fmt::format("{} tokens: {} of {} questions right. ", shown_tokens(length), count.right, count.all);
  }
  return text.empty() ? "Nothing was measured." : text.substr(0, text.size() - 1);
}

}  // namespace

std::string needle_svg(const NeedleReport& report) {
  const NeedleTable table(report.results);
  const double height = kTop + kCellHeight * static_cast<double>(table.depths.size()) + kBelow;
  const double width = std::max(kLeastWidth, kLeft + kCellWidth * static_cast<double>(table.lengths.size()) + 20);
  const std::filesystem::path& model = report.options.model;
  const std::string name = svg_escaped((model.has_filename() ? model : model.parent_path()).filename().string());
  const std::string title = fmt::format("Planted facts that {} found", name);
  std::string svg = svg_text(16, 28, title, "start", 15);
  svg += svg_text(
      16, 48,
      fmt::format("{} of {} questions right; {}", table.total.right, table.total.all, svg_escaped(report.device)),
      "start");
  svg += svg_text(16, kTop - 8, "depth", "start");
  for (std::size_t column = 0; column < table.lengths.size(); ++column) {
    const double x = kLeft + kCellWidth * static_cast<double>(column);
    svg += svg_text(x + kCellWidth / 2, height - kBelow + 20, shown_tokens(table.lengths[column]));
    for (std::size_t row = 0; row < table.depths.size(); ++row) {
      const double y = kTop + kCellHeight * static_cast<double>(row);
      const auto found = table.cells.find({table.lengths[column], table.depths[row]});
      const std::string place =
          fmt::format("{} tokens, depth {:g} %", shown_tokens(table.lengths[column]), table.depths[row]);
      svg += found != table.cells.end()
                 ? cell(x, y, found->second, place)
                 : fmt::format("<rect class=\"none\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                               x + 2, y + 2, kCellWidth - 4, kCellHeight - 4);
    }
  }
  for (std::size_t row = 0; row < table.depths.size(); ++row) {
    svg += svg_text(kLeft - 10, kTop + kCellHeight * (static_cast<double>(row) + 0.5) + 4,
                    fmt::format("{:g} %", table.depths[row]), "end");
  }
  svg += svg_text(kLeft, height - 12, "length of the conversation (tokens)", "start");
  return svg_document({.width = width,
                       .height = height,
                       .title = title,
                       .description = described(table),
                       .light = kLight,
                       .dark = kDark,
                       .content = std::move(svg)});
}

}  // namespace precis
