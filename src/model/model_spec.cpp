#include "model/model_spec.h"

#include <algorithm>

#include "base/error.h"

namespace precis {

void ModelSpec::add_layer(const LayerRule& rule) {
  auto found = std::find(rules.begin(), rules.end(), rule);
  if (found == rules.end()) found = rules.insert(rules.end(), rule);
  rule_of_layer.push_back(static_cast<std::int32_t>(found - rules.begin()));
}

void validate(const ModelSpec& spec) {
  if (spec.heads % spec.kv_heads != 0) {
    fail("num_attention_heads: {} is not a multiple of num_key_value_heads {}", spec.heads, spec.kv_heads);
  }
  if (spec.head_dim % 2 != 0) fail("head_dim: {} is odd, expected an even number (rotary embedding)", spec.head_dim);
  if (spec.vocabulary > spec.embeddings) {
    fail("vocabulary: {} ids are to be predicted by a head of {} rows", spec.vocabulary, spec.embeddings);
  }
  PRECIS_CHECK(static_cast<std::int64_t>(spec.rule_of_layer.size()) == spec.layers);
  PRECIS_CHECK(spec.summary.has_value() == spec.chunk.any());
}

}  // namespace precis
