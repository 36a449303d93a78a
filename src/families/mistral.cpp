// Mistral 7B and Nemo. Source: arXiv 2310.06825: every layer sees the last `sliding_window` tokens, itself included.
#include "families/common.h"

namespace precis {
namespace {

constexpr std::int64_t max_window = std::int64_t{1} << 31;
constexpr std::int64_t default_window = 4096;  // transformers, where the key is absent; null means none

LayerRule read_rule(Fields& config) {
  if (config.is_null("sliding_window")) return LayerRule{};
  return LayerRule{Sight::window, config.integer("sliding_window", 1, max_window, default_window)};
}

}  // namespace

ModelSpec read_mistral(FamilySource& source) {
  ModelSpec spec = read_common(source, "mistral");
  add_layers(spec, read_rule(source.config));
  return spec;
}

}  // namespace precis
