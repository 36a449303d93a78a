#include "calibration/calibrator.h"

#include <algorithm>

#include "base/error.h"
#include "calibration/row_rounding.h"
#include "model/weight_names.h"

namespace precis {
namespace {

// As in GPTQ.
constexpr double damping = 0.01;

}  // namespace

Calibrator::Calibrator(const TensorSource& source, const ModelSpec& spec, Quantizer& quantizer, Device& device,
                       TextWindows windows)
    : source_(source),
      spec_(spec),
      quantizer_(quantizer),
      device_(device),
      weights_(load_weights(source, spec, device)),
      rows_(spec, weights_, device, std::move(windows)),
      head_inputs_(device, spec.hidden, rows_.longest()) {}

std::map<std::string, StoredMatrix> Calibrator::next_layer(const std::function<bool()>& proceed) {
  PRECIS_CHECK(layer_ < spec_.layers);
  LayerRunner runner(spec_, layer_, device_, rows_.longest());
  LayerWeights weights = weights_.layers[static_cast<std::size_t>(layer_)];
  std::map<std::string, StoredMatrix> done;
  quantized_.clear();
  for (const LayerProduct& product : quantized_products(weights)) {
    if (!proceed()) return {};
    quantize(runner, weights, product, done);
  }
  if (!proceed()) return {};
  const bool last = ++layer_ == spec_.layers;
  for (std::size_t window = 0; window < rows_.windows(); ++window) {
    if (last) {
      add_head_rows(runner, weights, window);
    } else {
      rows_.advance(runner, weights, window);
    }
  }
  return done;
}

void Calibrator::add_head_rows(LayerRunner& runner, const LayerWeights& weights, std::size_t window) {
  const std::int64_t rows = rows_.tokens(window);
  const Buffer normed = device_.allocate(rows * spec_.hidden * std::int64_t{sizeof(float)});
  LayerWatch watch;
  watch.end = [&](const float* x) {
    device_.ops().rms_norm({x, weights_.final_norm, normed.as<float>(), rows, spec_.hidden, spec_.epsilon});
    head_inputs_.add({.x = normed.as<float>(), .x_stride = spec_.hidden, .rows = rows, .parts = {}});
  };
  rows_.run(runner, weights, window, std::move(watch));
}

StoredMatrix Calibrator::head() {
  PRECIS_CHECK(layer_ == spec_.layers);
  const Quadratic error(head_inputs_.sums(), spec_.hidden, damping);
  return rounded(head_name(spec_), spec_.embeddings, error);
}

std::vector<LayerProduct> Calibrator::quantized_products(LayerWeights& layer) const {
  std::vector<LayerProduct> products = products_of(layer, layer_);
  std::erase_if(products, [&](LayerProduct& product) {
    std::erase_if(product, [&](const auto& matrix) {
      return !quantizer_.format_for(matrix.first, matrix.second->weight.inputs).has_value();
    });
    return product.empty();
  });
  return products;
}

void Calibrator::quantize(LayerRunner& runner, const LayerWeights& weights, const LayerProduct& product,
                          std::map<std::string, StoredMatrix>& done) {
  const std::int64_t inputs = product.front().second->weight.inputs;
  const std::byte* wanted = product.front().second->weight.data;
  InputMoments moments(device_, inputs, window_rows(spec_, rows_.longest()));
  LayerWatch watch;
  watch.product = [&](const LinearArgs& args) {
    const bool found = std::any_of(args.parts.begin(), args.parts.end(),
                                   [&](const LinearPart& part) { return part.weight.data == wanted; });
    if (found) moments.add(args);
    return !found;
  };
  for (std::size_t window = 0; window < rows_.windows(); ++window) rows_.run(runner, weights, window, watch);
  // Windows may be too short for any summary row; then every input counts alike.
  const std::vector<float> none(moments.rows() > 0 ? 0 : static_cast<std::size_t>(inputs * inputs));
  const Quadratic error(moments.rows() > 0 ? moments.sums() : none.data(), inputs, damping);
  for (const auto& [name, slot] : product) {
    const StoredMatrix& matrix = done[name] = rounded(name, slot->weight.outputs, error);
    slot->weight.data = quantized_.emplace_back(device_.adopt(matrix.values)).as<std::byte>();
    slot->weight.scales = quantized_.emplace_back(device_.adopt(matrix.scales)).as<F16>();
    slot->weight.format = matrix.format;
  }
}

StoredMatrix Calibrator::rounded(const std::string& name, std::int64_t outputs, const Quadratic& error) {
  const StoredMatrix plain = find_matrix(source_, name, outputs, error.inputs());
  const WeightFormat format = *quantizer_.format_for(name, error.inputs());
  StoredMatrix matrix =
      quantizer_.quantize(name, plain, format, [&](std::span<const float> row, std::byte* values, F16* scales) {
        round_row(error, format, row, values, scales);
      });
  source_.release(name);
  return matrix;
}

}  // namespace precis
