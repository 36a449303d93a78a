// Which layers of a Qwen model see a window of the text.
#pragma once

#include "checkpoint/fields.h"
#include "model/model_spec.h"

namespace precis {

// Adds the layers' rules from `layer_types`, or else from `use_sliding_window`, `sliding_window` and
// `max_window_layers`: layers from that index on see a window.
void add_windowed_layers(Fields& config, ModelSpec& spec);

}  // namespace precis
