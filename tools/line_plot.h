// Lines over a logarithmic x, most often a context's length, as an SVG that can be read alone.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace precis {

struct PlotLine {
  std::string name;                               // stands at its end
  std::vector<std::pair<double, double>> points;  // x and y, in order of x
  bool dashed = false;                            // not measured: a prediction, or what it is held against
  // Of eight colours and four marks, the one that it takes; lines that belong together may share it. None: its place
  // among the lines.
  std::optional<std::size_t> colour = std::nullopt;
};

enum class PlotUnit {
  plain,   // "1,250", "0.4"
  tokens,  // "4k", "1M": powers of 1024
  bytes,   // "1.5 GB": powers of 1000
};

enum class PlotScale {
  linear,  // from 0 up
  log10,
};

// Texts are as people wrote them: they are escaped here. What a scale cannot show (infinite, not a number, negative, on
// a logarithmic one 0, beyond 1e300) is left out.
struct LinePlot {
  std::string title;
  std::string subtitle;  // what holds for all lines: model, device
  std::string x_label;   // "context (tokens)"
  std::string y_label;   // stands above the axis
  PlotUnit x_unit = PlotUnit::tokens;
  PlotUnit y_unit = PlotUnit::plain;
  PlotScale y_scale = PlotScale::linear;  // x is always by powers of two
  std::vector<PlotLine> lines;
};

std::string svg(const LinePlot& plot);
// Side by side.
std::string svg(const std::vector<LinePlot>& panels);

}  // namespace precis
