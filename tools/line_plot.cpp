#include "line_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "plot_scale.h"
#include "svg.h"

namespace precis {

namespace {

constexpr double kLeft = 76;  // of the frame, from the panel's edge: there stand y's numbers
constexpr double kTop = 84;
constexpr double kBelow = 56;
constexpr double kFrameWidth = 400;
constexpr double kFrameHeight = 280;
constexpr double kInset = 12;     // of the first and last x, from the frame's sides
constexpr double kLabelGap = 14;  // from the frame to the names
constexpr double kSample = 40;    // of a line, before its name
constexpr double kLabelHeight = 17;
constexpr double kMargin = 16;
constexpr std::size_t kMostName = 48;  // characters
constexpr std::size_t kMostTitle = 100;
constexpr std::size_t kMostMarks = 64;  // of a line; more points are a curve

// Colours that those tell apart who see two of the three primaries (after Okabe and Ito, and Tol), darker on light
// paper than on dark; besides, each has a mark of its own among its four neighbours.
constexpr std::array kColours = {std::pair("#0072b2", "#58a6e6"), std::pair("#d55e00", "#ff8340"),
                                 std::pair("#00875f", "#2cc498"), std::pair("#b4508f", "#e39cc7"),
                                 std::pair("#6b6b6b", "#a8a8a8"), std::pair("#b07d00", "#f0bb3a"),
                                 std::pair("#3a9fd1", "#a5dcff"), std::pair("#3b2a8c", "#a08fff")};

// As wide as it can be: nobody here knows the reader's letters.
double width_of(std::size_t characters, double size) {
  return 0.6 * size * static_cast<double>(characters);
}

// Characters of UTF-8.
std::size_t count_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

// Its first `most` characters.
std::string cut(const std::string& text, std::size_t most) {
  if (count_of(text) <= most) return text;
  std::size_t bytes = 0;
  for (std::size_t count = 0; bytes < text.size(); ++bytes) {
    const bool begins = (static_cast<unsigned char>(text[bytes]) & 0xC0U) != 0x80;
    if (begins && count++ == most - 3) break;
  }
  return text.substr(0, bytes) + "...";
}

std::string rules(bool light) {
  std::string css = light ? ".grid { stroke: #e2e2e2 } .leader { stroke: #b5b5b5 }\n"
                          : ".grid { stroke: #33373d } .leader { stroke: #6a6f76 }\n";
  for (std::size_t colour = 0; colour < kColours.size(); ++colour) {
    css += fmt::format(".hue{} {{ color: {} }} ", colour, light ? kColours[colour].first : kColours[colour].second);
  }
  return css;
}

struct Place {
  double x, y;
};

std::string straight(const char* kind, Place from, Place to, const char* more = "") {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"{}/>\n", kind, from.x,
                     from.y, to.x, to.y, more);
}

// Circle, square, triangle, diamond: in the colour of the group around it. `title` is escaped; empty: none.
std::string mark(std::size_t colour, Place at, const std::string& title) {
  const std::string inside = title.empty() ? "" : fmt::format("<title>{}</title>", title);
  const auto shape = [&inside](const char* name, const std::string& sizes) {
    return fmt::format("<{0} {1} fill=\"currentColor\">{2}</{0}>\n", name, sizes, inside);
  };
  switch (colour % 4) {
    case 0:
      return shape("circle", fmt::format("cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.4\"", at.x, at.y));
    case 1:
      return shape("rect", fmt::format("x=\"{:.1f}\" y=\"{:.1f}\" width=\"6\" height=\"6\"", at.x - 3, at.y - 3));
    case 2:
      return shape("path", fmt::format("d=\"M{:.1f} {:.1f}l4.2 7.4h-8.4z\"", at.x, at.y - 4.4));
    default:
      return shape("path", fmt::format("d=\"M{:.1f} {:.1f}l4.4 4.4l-4.4 4.4l-4.4 -4.4z\"", at.x, at.y - 4.4));
  }
}

// One plot, from its left edge on.
class Panel {
 public:
  Panel(const LinePlot& plot, double left) : plot_(plot), left_(left + kLeft) {
    for (const PlotLine& line : plot.lines) {
      std::vector<std::pair<double, double>> shown;
      for (const auto& [x, y] : line.points) {
        if (PlotAxis::shows(x, true) && PlotAxis::shows(y, plot.y_scale == PlotScale::log10)) shown.emplace_back(x, y);
      }
      lines_.push_back(std::move(shown));
    }
    const auto all = [this](auto part) {
      std::vector<double> values;
      for (const auto& points : lines_) {
        for (const auto& point : points) values.push_back(part(point));
      }
      return values;
    };
    x_ = PlotAxis::powers_of_two(all([](const auto& point) { return point.first; }));
    y_ = plot.y_scale == PlotScale::log10 ? PlotAxis::powers_of_ten(all([](const auto& point) { return point.second; }))
                                          : PlotAxis::from_zero(all([](const auto& point) { return point.second; }));
    height_ = std::max(kFrameHeight, kLabelHeight * static_cast<double>(plot.lines.size()));
  }

  double width() const {
    std::size_t name = 0;
    for (const PlotLine& line : plot_.lines) name = std::max(name, count_of(shown_name(line)));
    const double lines = kLeft + kFrameWidth + kLabelGap + kSample + width_of(name, 12) + kMargin;
    const double titles = std::max(width_of(count_of(cut(plot_.title, kMostTitle)), 15),
                                   width_of(count_of(cut(plot_.subtitle, kMostTitle)), 12));
    return std::max(lines, titles + 2 * kMargin);
  }
  double height() const { return kTop + height_ + kBelow; }

  std::string drawn() const {
    const double edge = left_ - kLeft + kMargin;
    std::string text = svg_text(edge, 28, svg_escaped(cut(plot_.title, kMostTitle)), "start", 15);
    text += svg_text(edge, 48, svg_escaped(cut(plot_.subtitle, kMostTitle)), "start");
    text += svg_text(edge, kTop - 12, svg_escaped(plot_.y_label), "start");
    text += svg_text(left_ + kFrameWidth / 2, kTop + height_ + 42, svg_escaped(plot_.x_label));
    text += axes();
    for (std::size_t index = 0; index < lines_.size(); ++index) text += curve(index);
    return text + labels();
  }

  // For those who do not see it; escaped.
  std::string described() const {
    std::vector<std::string> parts = {svg_escaped(plot_.title)};
    for (std::size_t index = 0; index < lines_.size(); ++index) {
      const auto& points = lines_[index];
      const std::string values = points.empty() ? "no values"
                                 : points.size() == 1
                                     ? shown(points.front())
                                     : fmt::format("{} to {}", shown(points.front()), shown(points.back()));
      parts.push_back(fmt::format("{}: {}", svg_escaped(plot_.lines[index].name), values));
    }
    return fmt::format("{}.", fmt::join(parts, ". "));
  }

 private:
  std::string shown_name(const PlotLine& line) const {
    const bool empty = lines_[static_cast<std::size_t>(&line - plot_.lines.data())].empty();
    return cut(line.name, kMostName) + (empty ? " (no values)" : "");
  }
  // "3.41 at 4k"
  std::string shown(const std::pair<double, double>& point) const {
    return fmt::format("{} at {}", plot_value(point.second, plot_.y_unit), plot_value(point.first, plot_.x_unit));
  }
  std::size_t colour_of(std::size_t index) const { return plot_.lines[index].colour.value_or(index) % kColours.size(); }

  Place place(const std::pair<double, double>& point) const {
    return {left_ + kInset + (kFrameWidth - 2 * kInset) * x_.share(point.first),
            kTop + height_ * (1 - y_.share(point.second))};
  }

  std::string axes() const {
    std::string text;
    const double bottom = kTop + height_;
    for (const double tick : y_.ticks()) {
      const double y = bottom - height_ * y_.share(tick);
      text += straight("grid", {left_, y}, {left_ + kFrameWidth, y});
      text += svg_text(left_ - 8, y + 4, plot_tick(tick, plot_.y_unit), "end");
    }
    double written = 0;  // so far to the right
    for (const double tick : x_.ticks()) {
      const double x = left_ + kInset + (kFrameWidth - 2 * kInset) * x_.share(tick);
      text += straight("grid", {x, kTop}, {x, bottom + 5});
      const std::string said = plot_tick(tick, plot_.x_unit);
      const double half = width_of(said.size(), 12) / 2;
      if (x - half < written) continue;
      written = x + half;
      text += svg_text(x, bottom + 20, said);
    }
    return text + straight("ink-line", {left_, bottom}, {left_ + kFrameWidth, bottom});
  }

  std::string curve(std::size_t index) const {
    const auto& points = lines_[index];
    if (points.empty()) return "";
    const PlotLine& line = plot_.lines[index];
    std::string text = fmt::format("<g class=\"hue{}\">\n", colour_of(index));
    std::string path;
    for (const auto& point : points) {
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", place(point).x, place(point).y);
    }
    if (points.size() > 1) {
      text += fmt::format(
          "<polyline points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" "
          "stroke-linejoin=\"round\"{}/>\n",
          path, dashes(line));
    }
    if (points.size() <= kMostMarks) {
      for (const auto& point : points) {
        text += mark(colour_of(index), place(point), fmt::format("{}: {}", svg_escaped(line.name), shown(point)));
      }
    }
    return text + "</g>\n";
  }

  static const char* dashes(const PlotLine& line) { return line.dashed ? " stroke-dasharray=\"6 4\"" : ""; }

  // Names beside the ends of their lines, as near as they can stand without touching one another.
  std::string labels() const {
    std::vector<std::size_t> order(lines_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const double bottom = kTop + height_;
    std::vector<double> ends;
    for (const auto& points : lines_) ends.push_back(points.empty() ? bottom : place(points.back()).y);
    std::stable_sort(order.begin(), order.end(), [&ends](auto a, auto b) { return ends[a] < ends[b]; });
    std::vector<double> heights;
    for (const std::size_t index : order) heights.push_back(ends[index]);
    spread_labels(heights, kLabelHeight, kTop, bottom);
    std::string text;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      text += name(order[rank], {left_ + kFrameWidth + kLabelGap, heights[rank]});
    }
    return text;
  }

  std::string name(std::size_t index, Place at) const {
    const PlotLine& line = plot_.lines[index];
    std::string text;
    if (!lines_[index].empty() && x_.share(lines_[index].back().first) == 1) {
      const Place end = place(lines_[index].back());
      text += straight("leader", {end.x + 6, end.y}, {at.x - 2, at.y});
    }
    text += fmt::format("<g class=\"hue{}\">\n<title>{}</title>\n", colour_of(index), svg_escaped(line.name));
    text += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{2:.1f}\" x2=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"currentColor\" "
        "stroke-width=\"2\"{3}/>\n",
        at.x, at.x + kSample - 6, at.y, dashes(line));
    text += mark(colour_of(index), {at.x + (kSample - 6) / 2, at.y}, "");
    return text + svg_text(at.x + kSample, at.y + 4, svg_escaped(shown_name(line)), "start") + "</g>\n";
  }

  const LinePlot& plot_;
  double left_;  // of the frame
  double height_ = kFrameHeight;
  std::vector<std::vector<std::pair<double, double>>> lines_;  // of these, the points that can be shown
  PlotAxis x_;
  PlotAxis y_;
};

}  // namespace

std::string svg(const LinePlot& plot) {
  return svg(std::vector<LinePlot>{plot});
}

std::string svg(const std::vector<LinePlot>& panels) {
  SvgPicture picture;
  picture.light = rules(true);
  picture.dark = rules(false);
  std::vector<std::string> titles;
  std::vector<std::string> descriptions;
  for (const LinePlot& plot : panels) {
    const Panel panel(plot, picture.width);
    picture.content += panel.drawn();
    picture.width += panel.width();
    picture.height = std::max(picture.height, panel.height());
    titles.push_back(svg_escaped(plot.title));
    descriptions.push_back(panel.described());
  }
  picture.title = fmt::format("{}", fmt::join(titles, "; "));
  picture.description = fmt::format("{}", fmt::join(descriptions, " "));
  return svg_document(picture);
}

}  // namespace precis
