#include "calibration/usual_costs.h"

#include <string_view>

#include "base/error.h"

namespace precis {
namespace {

struct RoleCost {
  std::string_view end;  // of a matrix's name
  double cost;           // of a million weights with four bits, in thousandths of a nat: the mean of both models
};

// A head of its own counts as much as a tied one.
constexpr RoleCost role_costs[] = {
    {".v_proj.weight", 12.3},        {"embed_tokens.weight", 5.3},    {"lm_head.weight", 5.3},
    {".k_proj.weight", 3.9},         {".o_proj.weight", 3.35},        {".down_proj.weight", 3.2},
    {".gate_proj.weight", 2.8},      {".up_proj.weight", 2.55},       {".q_proj.weight", 1.35},
    {".v_proj_summary.weight", 0.5}, {".k_proj_summary.weight", 0.5}, {".q_proj_summary.weight", 0.2},
};

double cost_of_role(std::string_view name) {
  for (const RoleCost& role : role_costs) {
    if (name.ends_with(role.end)) return role.cost;
  }
  PRECIS_CHECK(false, "{} has no role", name);
  return 0;
}

}  // namespace

std::vector<ExpectedTensor> quantizable_matrices(const ModelSpec& spec) {
  std::vector<ExpectedTensor> matrices = expected_tensors_head_last(spec);
  std::erase_if(matrices, [](const ExpectedTensor& tensor) {
    return tensor.shape.size() != 2 || tensor.shape[1] % row_multiple(WeightFormat::q4) != 0;
  });
  return matrices;
}

FormatChoice usual_formats(const ModelSpec& spec, double bits) {
  std::vector<MatrixCost> costs;
  for (const ExpectedTensor& matrix : quantizable_matrices(spec)) {
    const std::int64_t weights = matrix.shape[0] * matrix.shape[1];
    costs.push_back({matrix.name, weights, cost_of_role(matrix.name) * static_cast<double>(weights)});
  }
  return spend_bits(costs, bits);
}

}  // namespace precis
