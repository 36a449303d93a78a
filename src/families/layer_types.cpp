#include "families/layer_types.h"

#include <optional>

#include "base/error.h"
#include "families/common.h"

namespace precis {
namespace {

constexpr std::int64_t max_window = std::int64_t{1} << 31;
constexpr std::int64_t default_window = 4096;        // transformers, where the key is absent
constexpr std::int64_t default_first_windowed = 28;  // the same

// Tokens; nothing when no layer has a window.
std::optional<std::int64_t> read_window(Fields& config) {
  const bool used = config.flag("use_sliding_window", false);
  config.ignore("sliding_window");
  config.ignore("max_window_layers");
  if (!used || config.is_null("sliding_window")) return std::nullopt;
  return config.integer("sliding_window", 1, max_window, default_window);
}

bool is_windowed(const JsonView& type) {
  if (type.string() == "sliding_attention") return true;
  if (type.string() != "full_attention") type.refuse("expected full_attention or sliding_attention");
  return false;
}

}  // namespace

void add_windowed_layers(Fields& config, ModelSpec& spec) {
  const auto window = read_window(config);
  const auto types = config.find("layer_types");
  if (types && (!types->is_array() || static_cast<std::int64_t>(types->size()) != spec.layers)) {
    types->refuse(fmt::format("expected a list of {} entries, one per layer", spec.layers));
  }
  const std::int64_t first =
      window ? config.integer("max_window_layers", 0, max_layers, default_first_windowed) : spec.layers;
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
    bool windowed = layer >= first;
    if (types) {
      const JsonView type = (*types)[static_cast<std::size_t>(layer)];
      windowed = is_windowed(type);
      if (windowed && !window) type.refuse("expected full_attention, as use_sliding_window is not set");
    }
    spec.add_layer(windowed ? LayerRule{Sight::window, *window} : LayerRule{});
  }
}

}  // namespace precis
