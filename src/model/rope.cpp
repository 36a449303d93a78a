#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace precis {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;

// Llama 3.1: low frequencies are divided by `factor`, high ones kept, those between blended.
void scale_llama3(const RopeSpec& spec, std::vector<float>& frequencies) {
  const double low_wavelength = spec.original_context / spec.low_freq_factor;
  const double high_wavelength = spec.original_context / spec.high_freq_factor;
  for (float& frequency : frequencies) {
    const double wavelength = two_pi / static_cast<double>(frequency);
    const auto divided = static_cast<float>(static_cast<double>(frequency) / spec.factor);
    if (wavelength > low_wavelength) {
      frequency = divided;
    } else if (wavelength >= high_wavelength) {
      const double smooth =
          (spec.original_context / wavelength - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor);
      frequency =
          static_cast<float>((1 - smooth) * static_cast<double>(divided) + smooth * static_cast<double>(frequency));
    }
  }
}

double yarn_mscale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

float yarn_magnitude(const RopeSpec& spec) {
  if (spec.attention_factor) return static_cast<float>(*spec.attention_factor);
  if (spec.mscale != 0 && spec.mscale_all_dim != 0) {
    return static_cast<float>(yarn_mscale(spec.factor, spec.mscale) / yarn_mscale(spec.factor, spec.mscale_all_dim));
  }
  return static_cast<float>(yarn_mscale(spec.factor, 1));
}

// YaRN, arXiv 2309.00071: dimensions that turn more than beta_fast times within the original context are kept, those
// that turn less than beta_slow times are divided by `factor`, a ramp lies between.
void scale_yarn(const RopeSpec& spec, std::int64_t head_dim, std::vector<float>& frequencies) {
  const auto dimension = [&](double turns) {
    return static_cast<double>(head_dim) * std::log(spec.original_context / (turns * two_pi)) /
           (2 * std::log(spec.theta));
  };
  double low = dimension(spec.beta_fast);
  double high = dimension(spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0F, 1.0F);
    const float kept = 1 - ramp;
    const float divided = frequencies[i] / static_cast<float>(spec.factor);
    frequencies[i] = divided * (1 - kept) + frequencies[i] * kept;
  }
}

}  // namespace

RopeTable make_rope_table(const RopeSpec& spec, std::int64_t head_dim) {
  RopeTable table;
  for (std::int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    table.frequencies.push_back(1.0F / std::pow(static_cast<float>(spec.theta), exponent));
  }
  switch (spec.kind) {
    case RopeKind::standard:
      break;
    case RopeKind::linear:
      for (float& frequency : table.frequencies) frequency /= static_cast<float>(spec.factor);
      break;
    case RopeKind::llama3:
      scale_llama3(spec, table.frequencies);
      break;
    case RopeKind::yarn:
      scale_yarn(spec, head_dim, table.frequencies);
      table.magnitude = yarn_magnitude(spec);
      break;
  }
  if (spec.rounded) {
    for (float& frequency : table.frequencies) frequency = to_float(to_bf16(frequency));
  }
  return table;
}

}  // namespace precis
