// A budget of bits given out by role: for every matrix of every family, within the budget, the costly ones first.
#include "calibration/usual_costs.h"

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "families/families.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

double average_bits(const ModelSpec& spec, const FormatChoice& choice) {
  double bits = 0;
  double weights = 0;
  for (const ExpectedTensor& matrix : quantizable_matrices(spec)) {
    const auto size = static_cast<double>(matrix.shape[0] * matrix.shape[1]);
    bits += bits_of(choice.at(matrix.name)) * size;
    weights += size;
  }
  return bits / weights;
}

TEST(UsualCosts, EveryFamilysMatricesAreGivenBits) {
  for (const std::string under : {"families", "ksa-variants"}) {
    for (const std::string& name : folders(under)) {
      SCOPED_TRACE(under + "/" + name);
      const ModelSpec spec = read_model_spec(Checkpoint{Folder(data_folder() / under / name)});
      const std::vector<ExpectedTensor> matrices = quantizable_matrices(spec);
      for (const double bits : {4.5, 5.2, 5.7, 6.0, 8.5}) {
        const FormatChoice choice = usual_formats(spec, bits);
        EXPECT_EQ(choice.size(), matrices.size());
        if (matrices.empty()) continue;
        EXPECT_LE(average_bits(spec, choice), bits);
      }
      for (const auto& [matrix, format] : usual_formats(spec, 4.5)) EXPECT_EQ(format, WeightFormat::q4) << matrix;
      for (const auto& [matrix, format] : usual_formats(spec, 8.5)) EXPECT_EQ(format, WeightFormat::q8) << matrix;
    }
  }
}

TEST(UsualCosts, RolesThatCostMoreHaveAtLeastAsManyBits) {
  const ModelSpec spec = read_model_spec(Checkpoint{Folder(models_folder() / "demo-ksa")});
  for (const double bits : {4.8, 5.2, 5.7, 6.0, 7.0}) {
    const FormatChoice choice = usual_formats(spec, bits);
    EXPECT_GT(average_bits(spec, choice), bits - 0.1);
    const auto bits_at = [&](const std::string& role) {
      return bits_of(choice.at("model.layers.1." + role + ".weight"));
    };
    EXPECT_GE(bits_at("self_attn.v_proj"), bits_at("self_attn.k_proj")) << bits;
    EXPECT_GE(bits_at("self_attn.k_proj"), bits_at("self_attn.q_proj")) << bits;
    EXPECT_GE(bits_at("self_attn.q_proj"), bits_at("self_attn.q_proj_summary")) << bits;
  }
}

}  // namespace
}  // namespace precis::test
