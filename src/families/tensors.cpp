// Holding a checkpoint's tensors against what the model needs.
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "families/families.h"
#include "model/stored_matrix.h"
#include "model/weight_names.h"

namespace precis {
namespace {

bool is_float(DType type) {
  return type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

// What a checkpoint that says so may hold in place of a plain matrix: its own format, or more bits.
void check_quantized(const Checkpoint& checkpoint, const ModelSpec& spec, const ExpectedTensor& expected) {
  const StoredMatrix matrix = find_matrix(checkpoint, expected.name, expected.shape[0], expected.shape[1]);
  if (is_quantized(matrix.format) && integer_bits(matrix.format) < integer_bits(*spec.quantized)) {
    fail("{}: {}, expected at least {}, as config.json says: quantization_config.weights", expected.name,
         name_of(matrix.format), name_of(*spec.quantized));
  }
}

bool may_be_quantized(const ModelSpec& spec, const ExpectedTensor& expected) {
  return spec.quantized && expected.shape.size() == 2;
}

void check_tensor(const Checkpoint& checkpoint, const ModelSpec& spec, const ExpectedTensor& expected) {
  const auto found = checkpoint.find(expected.name);
  if (!found) {
    if (expected.name == "lm_head.weight") {
      fail("lm_head.weight: no such tensor, but tie_word_embeddings is not set; expected shape {}",
           shown_shape(expected.shape));
    }
    fail("{}: no such tensor, expected shape {}", expected.name, shown_shape(expected.shape));
  }
  const TensorView& view = found->view;
  if (may_be_quantized(spec, expected)) return check_quantized(checkpoint, spec, expected);
  if (view.shape != expected.shape) {
    fail("{}: shape {}, expected {}", expected.name, shown_shape(view.shape), shown_shape(expected.shape));
  }
  if (!is_float(view.type)) {
    fail("{}: type {}, expected f32, f16 or bf16", expected.name, name_of(view.type));
  }
}

// A tensor outside the decoder (a value head, say) has no part in the logits. Inside it, only these have none:
// a buffer that is computed here, the copy of a tied head, and projections that the mix gives no weight.
bool is_harmless(std::string_view name, const ModelSpec& spec) {
  if (!name.starts_with("model.") && !name.starts_with("lm_head.")) return true;
  if (name.ends_with(".rotary_emb.inv_freq")) return true;
  if (name == "lm_head.weight") return spec.tied_head;
  if (!spec.summary || spec.summary->own_projections) return false;
  return name.ends_with(".q_proj_summary.weight") || name.ends_with(".k_proj_summary.weight") ||
         name.ends_with(".v_proj_summary.weight");
}

}  // namespace

std::vector<std::string> unused_tensors(const Checkpoint& checkpoint, const ModelSpec& spec) {
  std::set<std::string> expected;
  for (ExpectedTensor& tensor : expected_tensors(spec)) {
    const auto found = may_be_quantized(spec, tensor) ? checkpoint.find(tensor.name) : std::nullopt;
    if (found && !is_float(found->view.type)) expected.insert(scale_name(tensor.name));
    expected.insert(std::move(tensor.name));
  }
  std::vector<std::string> unused = checkpoint.names();
  std::erase_if(unused, [&](const std::string& name) { return expected.contains(name); });
  return unused;
}

void check_tensors(const Checkpoint& checkpoint, const ModelSpec& spec) {
  within(checkpoint.folder().path().string(), [&] {
    for (const ExpectedTensor& expected : expected_tensors(spec)) check_tensor(checkpoint, spec, expected);
    for (const std::string& name : unused_tensors(checkpoint, spec)) {
      if (!is_harmless(name, spec)) {
        fail("{}: a tensor that config.json does not announce, and that may change results", name);
      }
      log().info("{}: {} is not used", checkpoint.folder().path().string(), name);
    }
  });
}

}  // namespace precis
