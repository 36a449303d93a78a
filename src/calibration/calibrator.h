// Quantizing a model's layers and its head so that their products change least on a calibration text: layer by layer,
// and in a layer product by product, each on what the layers and products before it compute once they are quantized;
// and the head, whose rows are the text's alone, on what the last layer gives.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "calibration/input_moments.h"
#include "calibration/layer_products.h"
#include "calibration/layer_runner.h"
#include "calibration/quadratic.h"
#include "calibration/residual_rows.h"
#include "device/device.h"
#include "model/model_spec.h"
#include "model/quantizer.h"
#include "model/weights.h"
#include "tensor/tensor_source.h"

namespace precis {

class Calibrator {
 public:
  // `windows`: ids of text, each window read on its own; at least one id in each. Holds for every row of every window
  // `hidden` floats, and H of one product at a time and of the head. All others outlive it. Throws Error as
  // load_weights does.
  Calibrator(const TensorSource& source, const ModelSpec& spec, Quantizer& quantizer, Device& device,
             TextWindows windows);

  // The next layer's quantized matrices by name; matrices that stay as they are are not among them. Call at most
  // spec.layers times. `proceed` is called before each pass over the text; false: stop, and nothing is returned. Throws
  // Error that names matrix and row when a number cannot be quantized.
  std::map<std::string, StoredMatrix> next_layer(const std::function<bool()>& proceed);

  // The matrix of head_name(), after the last layer; call it once. Throws as next_layer does.
  StoredMatrix head();

 private:
  // Products of the layer in work without the matrices that stay as they are.
  std::vector<LayerProduct> quantized_products(LayerWeights& layer) const;
  // A window through the last layer: its rows are those that the head will meet.
  void add_head_rows(LayerRunner& runner, const LayerWeights& weights, std::size_t window);
  // A matrix of the source, rounded.
  StoredMatrix rounded(const std::string& name, std::int64_t outputs, const Quadratic& error);
  void quantize(LayerRunner& runner, const LayerWeights& weights, const LayerProduct& product,
                std::map<std::string, StoredMatrix>& done);

  const TensorSource& source_;
  const ModelSpec& spec_;
  Quantizer& quantizer_;
  Device& device_;
  Weights weights_;                // plain
  ResidualRows rows_;              // before the next layer
  std::vector<Buffer> quantized_;  // of the layer in work
  InputMoments head_inputs_;       // of what the last layer gives, normed
  std::int64_t layer_ = 0;         // the next
};

}  // namespace precis
