#include "plot_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "numbers.h"
#include "precis/units.h"

namespace precis {

namespace {

constexpr double kLeast = 1e-300;  // nearer to 0 powers of ten lose digits
constexpr double kMost = 1e300;
constexpr int kMostTicks = 11;

// Every so many of `count` neighbours, so that no more than kMostTicks are left.
int stride_of(int count) {
  return (count + kMostTicks - 1) / kMostTicks;
}

}  // namespace

bool PlotAxis::shows(double value, bool logarithmic) {
  return value <= kMost && (logarithmic ? value >= kLeast : value >= 0);
}

PlotAxis PlotAxis::powers_of_two(const std::vector<double>& values) {
  PlotAxis axis;
  axis.logarithmic_ = true;
  if (values.empty()) return axis;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  axis.low_ = std::log2(*low);
  axis.high_ = std::log2(*high);
  const int first = static_cast<int>(std::ceil(axis.low_));
  const int last = static_cast<int>(std::floor(axis.high_));
  for (int power = first; power <= last; power += stride_of(last - first + 1)) {
    axis.ticks_.push_back(std::ldexp(1.0, power));
  }
  if (axis.ticks_.empty()) {
    axis.ticks_.push_back(*low);
    if (*low < *high) axis.ticks_.push_back(*high);
  }
  return axis;
}

PlotAxis PlotAxis::powers_of_ten(const std::vector<double>& values) {
  PlotAxis axis;
  axis.logarithmic_ = true;
  if (values.empty()) return axis;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const int first = static_cast<int>(std::floor(std::log10(*low)));
  const int last = std::max(static_cast<int>(std::ceil(std::log10(*high))), first + 1);
  const int stride = stride_of(last - first + 1);
  const auto power_of_ten = [](int power) { return std::pow(10.0, power); };
  for (int power = first; power <= last; power += stride) {
    // Between few powers there is room for more.
    for (const double factor : {1.0, 2.0, 5.0}) {
      const bool wanted = factor == 1 || (last - first <= 2 && power < last);
      if (wanted) axis.ticks_.push_back(factor * power_of_ten(power));
    }
  }
  axis.low_ = std::log2(power_of_ten(first));
  axis.high_ = std::log2(power_of_ten(last));
  return axis;
}

PlotAxis PlotAxis::from_zero(const std::vector<double>& values) {
  PlotAxis axis;
  double top = values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  if (top < kLeast) top = 1;
  // 1, 2 or 5 times a power of ten, four to ten to the top.
  const double power = std::pow(10, std::floor(std::log10(top / 4)));
  double step = power;
  for (const double factor : {2.0, 5.0}) {
    if (top / step > 8) step = factor * power;
  }
  const int count = static_cast<int>(std::ceil(top / step * (1 - 1e-9)));
  for (int tick = 0; tick <= count; ++tick) axis.ticks_.push_back(tick * step);
  axis.high_ = axis.ticks_.back();
  return axis;
}

double PlotAxis::share(double value) const {
  if (low_ == high_) return 0.5;
  return ((logarithmic_ ? std::log2(value) : value) - low_) / (high_ - low_);
}

std::string plot_value(double value, PlotUnit unit) {
  const bool whole = value < 1e12 && value == std::floor(value);
  if (unit == PlotUnit::bytes) return shown_bytes(value);
  if (whole && unit == PlotUnit::tokens) return shown_tokens(static_cast<std::int64_t>(value));
  if (whole && value < 1e7) return shown_count(static_cast<std::int64_t>(value));
  return fmt::format("{:.4g}", value);
}

std::string plot_tick(double value, PlotUnit unit) {
  if (value == 0) return "0";
  std::string text = plot_value(value, unit);
  const std::size_t point = text.find('.');
  if (unit != PlotUnit::bytes || point == std::string::npos) return text;
  // "1.50 GB", "2.00 GB": zeros at the end of digits go.
  const std::size_t space = text.find(' ');
  const std::size_t last = text.find_last_not_of('0', space - 1);
  const std::size_t end = last == point ? point : last + 1;
  return text.erase(end, space - end);
}

void spread_labels(std::vector<double>& heights, double distance, double top, double bottom) {
  // Neighbours that would touch stand together, around where they would be on average.
  struct Block {
    double first;  // the height of its first label
    std::size_t count;
  };
  std::vector<Block> blocks;
  const auto extent = [distance](const Block& block) { return distance * static_cast<double>(block.count); };
  for (const double height : heights) {
    blocks.push_back({height, 1});
    while (blocks.size() > 1) {
      const Block last = blocks.back();
      Block& before = blocks[blocks.size() - 2];
      if (before.first + extent(before) <= last.first) break;
      const auto count = static_cast<double>(before.count + last.count);
      const double sum = before.first * static_cast<double>(before.count) +
                         (last.first - extent(before)) * static_cast<double>(last.count);
      before = {sum / count, before.count + last.count};
      blocks.pop_back();
    }
  }
  std::size_t at = 0;
  for (const Block& block : blocks) {
    for (std::size_t i = 0; i < block.count; ++i) heights[at++] = block.first + distance * static_cast<double>(i);
  }
  double highest = top;
  for (double& height : heights) {
    height = std::max(height, highest);
    highest = height + distance;
  }
  double lowest = bottom;
  for (std::size_t i = heights.size(); i > 0; --i) {
    heights[i - 1] = std::min(heights[i - 1], lowest);
    lowest = heights[i - 1] - distance;
  }
}

}  // namespace precis
