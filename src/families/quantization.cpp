#include "families/quantization.h"

#include "base/error.h"

namespace precis {

void read_quantization(Fields& config, ModelSpec& spec) {
  const auto section = config.find("quantization_config");
  if (!section) return;
  Fields fields(*section);
  const JsonView method = fields.at("quant_method");
  if (method.string() != "precis") method.refuse("expected precis (what other programs quantized is not read)");
  const std::int64_t version = fields.integer("version", 2, quantization_version);
  const JsonView weights = fields.at("weights");
  spec.quantized = quantized_format(weights.string());
  if (!spec.quantized) weights.refuse("expected q8, q6, q5 or q4");
  if (version < quantization_version && *spec.quantized != WeightFormat::q8) {
    fields.at("version").refuse("expected 3: these were four bits of another kind; quantize the model again");
  }
  const auto unread = fields.unread();
  if (!unread.empty()) {
    fail("{}: {}: not known to Precis, and may change results, found {}", section->place(), printable(unread.front()),
         section->at(unread.front()).shown());
  }
}

}  // namespace precis
