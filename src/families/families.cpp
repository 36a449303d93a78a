#include "families/families.h"

#include <array>

#include "base/error.h"
#include "base/log.h"
#include "families/common.h"
#include "families/family.h"

namespace precis {
namespace {

struct Family {
  std::string_view architecture;
  std::string_view model_type;
  ModelSpec (*read)(FamilySource& source);
};

constexpr std::array<Family, 4> families = {{
    {"LlamaForCausalLM", "llama", read_llama},
    {"MistralForCausalLM", "mistral", read_mistral},
    {"Qwen2ForCausalLM", "qwen2", read_qwen2},
    {"Qwen3ForCausalLM", "qwen3", read_qwen3},
}};

const Family* by_architecture(Fields& config) {
  const auto architectures = config.find("architectures");
  if (!architectures) return nullptr;
  if (!architectures->is_array() || architectures->size() != 1) architectures->refuse("expected a list of one name");
  const JsonView name = (*architectures)[0];
  for (const Family& family : families) {
    if (family.architecture == name.string()) return &family;
  }
  name.refuse("expected LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM");
}

const Family* by_model_type(Fields& config) {
  const auto type = config.find("model_type");
  if (!type) return nullptr;
  for (const Family& family : families) {
    if (family.model_type == type->string()) return &family;
  }
  type->refuse("expected llama, mistral, qwen2 or qwen3");
}

// A summary-attention model calls itself Qwen3ForCausalLM; one key tells it apart, and its model_type may be its own.
bool is_summary_model(Fields& config, const Family* family) {
  const bool qwen3 = family != nullptr && family->read == read_qwen3;
  return qwen3 && config.flag("use_summary_attention", false);
}

ModelSpec read_family(FamilySource& source) {
  Fields& config = source.config;
  const Family* named = by_architecture(config);
  if (is_summary_model(config, named)) {
    config.ignore("model_type");
    config.ignore("auto_map");
    return read_ksa(source);
  }
  const Family* typed = by_model_type(config);
  if (named == nullptr && typed == nullptr) fail("{}: architectures: missing", config.object().place());
  if (named != nullptr && typed != nullptr && named != typed) {
    config.at("model_type").refuse(fmt::format("expected {} beside {}", named->model_type, named->architecture));
  }
  if (is_summary_model(config, typed)) return read_ksa(source);
  if (const auto code = config.find("auto_map")) log().warn("{}: custom code is not run", code->place());
  return (named != nullptr ? named : typed)->read(source);
}

ModelSpec read_spec(FamilySource source) {
  ModelSpec spec = read_family(source);
  refuse_unread(source.config);
  within(source.config.object().place(), [&] { validate(spec); });
  return spec;
}

}  // namespace

ModelSpec read_model_spec(const JsonView& config) {
  return read_spec({Fields(config), std::nullopt, std::nullopt});
}

ModelSpec read_model_spec(const Checkpoint& checkpoint) {
  constexpr std::string_view embedding = "model.embed_tokens.weight";
  FamilySource source{Fields(checkpoint.config()), checkpoint.generation_config(), std::nullopt};
  const auto table = checkpoint.find(embedding);
  if (table && table->view.shape.size() == 2) source.embedding_rows = table->view.shape[0];
  ModelSpec spec = read_spec(std::move(source));
  check_tensors(checkpoint, spec);
  return spec;
}

}  // namespace precis
