// Where values stand along an axis, and what is written there.
#pragma once

#include <string>
#include <vector>

#include "line_plot.h"

namespace precis {

class PlotAxis {
 public:
  PlotAxis() = default;
  // From the least to the largest value, by logarithm. Ticks are the powers of two between; where there is none, both
  // ends.
  static PlotAxis powers_of_two(const std::vector<double>& values);
  // From a power of ten to a power of ten.
  static PlotAxis powers_of_ten(const std::vector<double>& values);
  // From 0 to a round number.
  static PlotAxis from_zero(const std::vector<double>& values);

  // A value that an axis can hold.
  static bool shows(double value, bool logarithmic);

  // 0 at its beginning, 1 at its end; the middle where it has no length.
  double share(double value) const;
  const std::vector<double>& ticks() const { return ticks_; }

 private:
  bool logarithmic_ = false;
  double low_ = 0;  // of logarithms (to base 2), where it is logarithmic
  double high_ = 1;
  std::vector<double> ticks_;
};

// "3.41", "4k", "1.22 GB"
std::string plot_value(double value, PlotUnit unit);
// The same for a round number: "1 GB".
std::string plot_tick(double value, PlotUnit unit);

// Moves `heights`, ascending, as little apart as leaves neighbours `distance` away from each other and all between
// `top` and `bottom`, or above `top` where there are too many. Their order stays.
void spread_labels(std::vector<double>& heights, double distance, double top, double bottom);

}  // namespace precis
