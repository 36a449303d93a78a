// What quantizing a single matrix costs a model: the divergence of what it then expects of a text's next tokens.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "calibration/model_runner.h"
#include "calibration/residual_rows.h"
#include "device/device.h"
#include "model/model_spec.h"
#include "model/stored_matrix.h"
#include "model/weights.h"
#include "tensor/tensor_source.h"

namespace precis {

class Sensitivity {
 public:
  // `windows`: ids of text, each window read on its own; at least one id in each. Holds the logits of all of their
  // positions or, where these were more than 2^26 numbers, of as many evenly spread ones as are not. All others outlive
  // it. Throws Error as load_weights does.
  Sensitivity(const TensorSource& source, const ModelSpec& spec, Device& device, TextWindows windows);

  // KL(plain model || model with `matrix` in place of its matrix `name`) in nats, the mean of the positions; at least
  // 0. Moves with what rounding a product's inputs changes anyway: below 1e-4 the numbers say little.
  double cost(const std::string& name, const StoredMatrix& matrix);

 private:
  // Puts a matrix in its place; a tied head follows the embedding.
  void place(const std::string& name, const WeightView& view);

  const ModelSpec& spec_;
  Device& device_;
  TextWindows windows_;
  Weights weights_;                           // plain
  std::map<std::string, WeightView*> slots_;  // by name, in weights_
  ModelRunner runner_;
  std::int64_t distance_;    // of positions
  std::vector<float> base_;  // [positions, vocabulary]: the plain model's log-probabilities
};

}  // namespace precis
