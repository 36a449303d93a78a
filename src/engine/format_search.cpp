#include "engine/format_search.h"

#include <algorithm>
#include <vector>

#include "calibration/calibrator.h"
#include "calibration/sensitivity.h"
#include "calibration/usual_costs.h"
#include "model/quantizer.h"
#include "model/weight_names.h"

namespace precis {
namespace {

// More of either changes which matrices are chosen, but hardly what the choice is worth (docs/quantization.md).
constexpr std::size_t rounding_windows = 4;
constexpr std::size_t measured_windows = 2;
constexpr std::size_t measured_ids = 512;  // of each

struct TextParts {
  TextWindows rounding;
  TextWindows measured;
};

// Evenly spread windows for either; the same where there is only one.
TextParts part(const TextWindows& windows) {
  const auto spread = [](const TextWindows& from, std::size_t count) {
    TextWindows some;
    for (std::size_t index = 0; index < count; ++index)
      some.push_back(from[(2 * index + 1) * from.size() / (2 * count)]);
    return some;
  };
  TextParts parts;
  TextWindows others;
  for (std::size_t index = 0; index < windows.size(); ++index) {
    (index % 2 == 0 ? others : parts.measured).push_back(windows[index]);
  }
  if (parts.measured.empty()) parts.measured = others;
  parts.rounding = spread(others, std::min(others.size(), rounding_windows));
  parts.measured = spread(parts.measured, std::min(parts.measured.size(), measured_windows));
  for (auto& window : parts.measured) window.resize(std::min(window.size(), measured_ids));
  return parts;
}

}  // namespace

std::optional<FoundFormats> find_formats(const Checkpoint& checkpoint, const ModelSpec& spec, Device& device,
                                         int threads, const TextWindows& windows, double bits,
                                         const std::function<bool()>& proceed) {
  const std::vector<ExpectedTensor> matrices = quantizable_matrices(spec);
  FormatChoice all_four;
  for (const ExpectedTensor& matrix : matrices) all_four[matrix.name] = WeightFormat::q4;
  Quantizer quantizer(WeightFormat::q4, threads, std::move(all_four));
  TextParts parts = part(windows);
  Calibrator calibrator(checkpoint, spec, quantizer, device, std::move(parts.rounding));
  Sensitivity sensitivity(checkpoint, spec, device, std::move(parts.measured));
  std::map<std::string, StoredMatrix> layer;  // of the layer in work: matrices come layer by layer
  std::vector<MatrixCost> costs;
  for (const ExpectedTensor& matrix : matrices) {
    const std::int64_t outputs = matrix.shape[0];
    const std::int64_t inputs = matrix.shape[1];
    if (!proceed()) return std::nullopt;
    const bool of_layer = matrix.name.starts_with("model.layers.");
    if (of_layer && layer.empty()) layer = calibrator.next_layer(proceed);
    if (of_layer && layer.empty()) return std::nullopt;
    const auto rounded_alone = [&] {
      return quantizer.quantize(matrix.name, find_matrix(checkpoint, matrix.name, outputs, inputs), WeightFormat::q4);
    };
    const StoredMatrix four = of_layer                         ? std::move(layer.extract(matrix.name).mapped())
                              : matrix.name == head_name(spec) ? calibrator.head()
                                                               : rounded_alone();
    costs.push_back({matrix.name, outputs * inputs, sensitivity.cost(matrix.name, four)});
  }
  FoundFormats found{.choice = spend_bits(costs, bits), .cost = 0};
  for (const MatrixCost& matrix : costs) {
    found.cost += share_left(found.choice.at(matrix.name)) * matrix.cost;
  }
  return found;
}

}  // namespace precis
