#include "families/common.h"

#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "families/quantization.h"
#include "families/rope.h"

namespace precis {
namespace {

constexpr std::int64_t max_id = std::numeric_limits<std::int32_t>::max();

void read_sizes(Fields& config, ModelSpec& spec, std::int64_t head_dim) {
  spec.layers = config.integer("num_hidden_layers", 1, max_layers);
  spec.hidden = config.integer("hidden_size", 1, max_size);
  spec.ffn = config.integer("intermediate_size", 1, max_size);
  spec.heads = config.integer("num_attention_heads", 1, max_size);
  spec.kv_heads = config.integer("num_key_value_heads", 1, max_size, spec.heads);
  if (head_dim == 0 && !config.find("head_dim")) {
    if (spec.hidden % spec.heads != 0) {
      fail("{}: hidden_size: {} is not a multiple of num_attention_heads {}, and there is no head_dim",
           config.object().place(), spec.hidden, spec.heads);
    }
    head_dim = spec.hidden / spec.heads;
  }
  spec.head_dim = config.integer("head_dim", 1, max_size, head_dim);
  if (spec.heads * spec.head_dim > max_size) {
    config.at("num_attention_heads").refuse(fmt::format("expected at most {} / head_dim", max_size));
  }
}

void read_activation(Fields& config) {
  const auto activation = config.find("hidden_act");
  if (!activation) return;
  const std::string& name = activation->string();
  if (name != "silu" && name != "swish") activation->refuse("expected silu");
}

DType read_type(Fields& config) {
  const auto type = config.find({"dtype", "torch_dtype"});
  if (!type) return DType::f32;  // what transformers assumes
  std::string_view name = type->string();
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16" || name == "half") return DType::f16;
  if (name == "float32" || name == "float") return DType::f32;
  type->refuse("expected bfloat16, float16 or float32");
}

// One id or a list of ids.
std::vector<std::int32_t> read_ids(const JsonView& value) {
  std::vector<std::int32_t> ids;
  const auto add = [&](const JsonView& id) { ids.push_back(static_cast<std::int32_t>(id.integer(0, max_id))); };
  if (!value.is_array()) {
    add(value);
  } else {
    for (std::size_t i = 0; i < value.size(); ++i) add(value[i]);
  }
  return ids;
}

void read_boundaries(FamilySource& source, ModelSpec& spec) {
  auto end = source.config.find("eos_token_id");
  auto begin = source.config.find("bos_token_id");
  if (source.generation) {
    if (auto value = source.generation->find("eos_token_id")) end = std::move(value);
    if (auto value = source.generation->find("bos_token_id")) begin = std::move(value);
  }
  if (end) spec.end_ids = read_ids(*end);
  if (!begin) return;
  const std::int64_t id = begin->integer(0, max_id);
  if (id < spec.embeddings) {
    spec.begin_id = static_cast<std::int32_t>(id);
  } else {
    log().warn("{}: {} is beyond the embedding's {} rows: ignored", begin->place(), id, spec.embeddings);
  }
}

}  // namespace

ModelSpec read_common(FamilySource& source, std::string_view family, std::int64_t head_dim) {
  Fields& config = source.config;
  ModelSpec spec;
  spec.family = family;
  read_sizes(config, spec, head_dim);
  read_activation(config);
  spec.embeddings = config.integer("vocab_size", 1, max_size);
  spec.vocabulary = spec.embeddings;
  spec.context = config.integer("max_position_embeddings", 1, std::int64_t{1} << 31);
  spec.epsilon = static_cast<float>(config.number("rms_norm_eps", 1e-12, 1, 1e-6));
  spec.tied_head = config.flag("tie_word_embeddings", false);
  spec.weights = read_type(config);
  read_quantization(config, spec);
  spec.rope = read_rope(config, spec.context);
  read_boundaries(source, spec);
  return spec;
}

void add_layers(ModelSpec& spec, const LayerRule& rule) {
  for (std::int64_t layer = 0; layer < spec.layers; ++layer) spec.add_layer(rule);
}

}  // namespace precis
