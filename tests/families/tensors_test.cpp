// A checkpoint's tensors against its configuration.
#include <map>

#include "checkpoint/hand_made.h"
#include "checkpoint/safetensors_writer.h"
#include "families/small_config.h"
#include "model/weight_names.h"

namespace precis {
namespace {

// A checkpoint on disk with zeros for weights; its tensors can be changed before it is opened.
class ZeroModel {
 public:
  explicit ZeroModel(nlohmann::json config) : config_(std::move(config)) {
    for (const ExpectedTensor& tensor : expected_tensors(spec_of(config_))) add(tensor.name, tensor.shape);
  }

  void add(const std::string& name, std::vector<std::int64_t> shape, DType type = DType::bf16) {
    tensors_[name] = {nullptr, type, std::move(shape)};
  }
  void remove(const std::string& name) { PRECIS_CHECK(tensors_.erase(name) == 1, "{}", name); }

  Checkpoint open() const {
    const std::vector<std::byte> zeros(1 << 16);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, view] : tensors_) tensors.push_back({name, {zeros.data(), view.type, view.shape}});
    folder_.write("config.json", config_.dump());
    write_safetensors(folder_.path() / "model.safetensors", tensors);
    return Checkpoint(Folder(folder_.path()));
  }
  ModelSpec read() const { return read_model_spec(open()); }
  void expect_refused(const std::string& part) const {
    expect_error([&] { read(); }, {folder_.path().string(), part});
  }

 private:
  TemporaryFolder folder_;
  nlohmann::json config_;
  std::map<std::string, TensorView> tensors_;
};

const std::string layer = "model.layers.1.";

TEST(Tensors, EveryFamilyIsReadWithWhatItNeeds) {
  for (const char* family : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "ksa"}) {
    SCOPED_TRACE(family);
    const ZeroModel model(small_config(family));
    const Checkpoint checkpoint = model.open();
    EXPECT_TRUE(unused_tensors(checkpoint, read_model_spec(checkpoint)).empty());
  }
}

TEST(Tensors, AllFloatTypesAreRead) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    ZeroModel model(small_config("LlamaForCausalLM"));
    model.add("model.norm.weight", {8}, type);
    EXPECT_NO_THROW(model.read());
  }
}

TEST(Tensors, EachMissingOneIsNamed) {
  const auto config = changed(small_config("ksa"), R"({"summary_independent_attention_layernorm": true})");
  for (const ExpectedTensor& tensor : expected_tensors(spec_of(config))) {
    ZeroModel model(config);
    model.remove(tensor.name);
    model.expect_refused(tensor.name + ": no such tensor");
  }
}

TEST(Tensors, AnUntiedHeadMustBeThere) {
  ZeroModel model(small_config("LlamaForCausalLM"));
  model.remove("lm_head.weight");
  model.expect_refused("tie_word_embeddings");
}

TEST(Tensors, ShapesAndTypesAreChecked) {
  const auto refused = [](const std::string& name, std::vector<std::int64_t> shape, DType type,
                          const std::string& part) {
    ZeroModel model(small_config("LlamaForCausalLM"));
    model.add(name, std::move(shape), type);
    model.expect_refused(part);
  };
  refused(layer + "self_attn.k_proj.weight", {8, 8}, DType::bf16, "k_proj.weight: shape [8, 8], expected [4, 8]");
  refused(layer + "mlp.down_proj.weight", {12, 8}, DType::bf16, "down_proj.weight: shape [12, 8], expected [8, 12]");
  refused("model.norm.weight", {8, 1}, DType::bf16, "model.norm.weight: shape [8, 1], expected [8]");
  refused("model.norm.weight", {}, DType::bf16, "model.norm.weight: shape [], expected [8]");
  refused("model.embed_tokens.weight", {17, 8}, DType::bf16, "model.embed_tokens.weight: shape [17, 8]");
  refused("model.norm.weight", {8}, DType::i32, "model.norm.weight: type i32");
}

TEST(Tensors, UnannouncedOnesAreRefused) {
  for (const std::string& name :
       {layer + "self_attn.o_proj.bias", layer + "self_attn.q_norm.weight", layer + "input_layernorm_summary.weight",
        layer + "self_attn.q_proj_summary.weight", std::string("model.layers.2.input_layernorm.weight"),
        std::string("model.norm.bias"), std::string("lm_head.bias")}) {
    ZeroModel model(small_config("LlamaForCausalLM"));
    model.add(name, {8});
    model.expect_refused(name);
  }
}

TEST(Tensors, HarmlessOnesAreListed) {
  ZeroModel model(changed(small_config("LlamaForCausalLM"), R"({"tie_word_embeddings": true})"));
  model.add("lm_head.weight", {16, 8});
  model.add(layer + "self_attn.rotary_emb.inv_freq", {2}, DType::f32);
  model.add("v_head.summary.weight", {1, 8});
  const Checkpoint checkpoint = model.open();
  EXPECT_EQ(
      unused_tensors(checkpoint, read_model_spec(checkpoint)),
      (std::vector<std::string>{"lm_head.weight", layer + "self_attn.rotary_emb.inv_freq", "v_head.summary.weight"}));
}

TEST(Tensors, SummaryProjectionsWithoutWeightAreIdle) {
  ZeroModel model(changed(small_config("ksa"), R"({"mix_coeff": 0})"));
  for (const char* name : {"q_proj_summary", "k_proj_summary", "v_proj_summary"}) {
    model.add(layer + "self_attn." + name + ".weight", {8, 8});
  }
  const Checkpoint checkpoint = model.open();
  EXPECT_EQ(unused_tensors(checkpoint, read_model_spec(checkpoint)).size(), 3U);
  model.add(layer + "self_attn.q_norm_summary.weight", {4});
  model.expect_refused("q_norm_summary");
}

// Sizes that q8 and q4 can have; `weights`: what config.json announces.
nlohmann::json quantized_config(const std::string& weights) {
  auto config = changed(small_config("LlamaForCausalLM"), R"({"hidden_size": 64, "intermediate_size": 64})");
  config["quantization_config"] = {{"quant_method", "precis"}, {"weights", weights}, {"version", 3}};
  return config;
}

TEST(Tensors, AnnouncedFormatsAreRead) {
  ZeroModel model(quantized_config("q4"));
  model.add(layer + "mlp.up_proj.weight", {64, 32}, DType::u8);
  model.add(layer + "mlp.up_proj.weight_scale", {64, 2}, DType::i16);
  model.add(layer + "mlp.down_proj.weight", {64, 40}, DType::u8);
  model.add(layer + "mlp.down_proj.weight_scale", {64, 2}, DType::i16);
  model.add(layer + "mlp.gate_proj.weight", {64, 64}, DType::i8);
  model.add(layer + "mlp.gate_proj.weight_scale", {64, 2}, DType::f16);
  const Checkpoint checkpoint = model.open();
  const ModelSpec spec = read_model_spec(checkpoint);
  EXPECT_EQ(spec.quantized, WeightFormat::q4);
  EXPECT_TRUE(unused_tensors(checkpoint, spec).empty());
}

TEST(Tensors, QuantizedOnesAreChecked) {
  const auto refused = [](const std::string& weights, DType type, std::vector<std::int64_t> shape,
                          std::vector<std::int64_t> scale_shape, const std::string& part) {
    ZeroModel model(quantized_config(weights));
    model.add(layer + "mlp.up_proj.weight", std::move(shape), type);
    if (!scale_shape.empty())
      model.add(layer + "mlp.up_proj.weight_scale", std::move(scale_shape),
                type == DType::u8 ? DType::i16 : DType::f16);
    model.expect_refused(part);
  };
  refused("q8", DType::i8, {64, 64}, {}, "up_proj.weight_scale: no such tensor, expected shape [64, 2]");
  refused("q8", DType::i8, {64, 64}, {64, 1}, "up_proj.weight_scale: shape [64, 1], expected [64, 2]");
  refused("q8", DType::i8, {64, 32}, {64, 2}, "up_proj.weight: shape [64, 32], expected [64, 64]");
  refused("q8", DType::u8, {64, 48}, {64, 2}, "up_proj.weight: q6, expected at least q8");
  refused("q5", DType::u8, {64, 32}, {64, 2}, "up_proj.weight: q4, expected at least q5");
  refused("q4", DType::i64, {64, 64}, {}, "up_proj.weight: type i64");
  refused("q8", DType::bf16, {64, 64}, {64, 2}, "up_proj.weight_scale: a tensor that config.json does not announce");
}

TEST(Tensors, FormatsThatNobodyAnnouncedAreRefused) {
  auto config = quantized_config("q8");
  config.erase("quantization_config");
  ZeroModel model(config);
  model.add(layer + "mlp.up_proj.weight", {64, 64}, DType::i8);
  model.add(layer + "mlp.up_proj.weight_scale", {64, 2}, DType::f16);
  model.expect_refused("up_proj.weight: type i8");
}

TEST(Tensors, QuantizationIsPrecisOwnOrRefused) {
  const auto refused = [](const std::string& section, const std::string& part) {
    const auto config = changed(small_config("LlamaForCausalLM"), R"({"quantization_config": )" + section + "}");
    expect_error([&] { spec_of(config); }, {"quantization_config", part});
  };
  refused(R"({"quant_method": "gptq", "bits": 4})", "quant_method: expected precis");
  refused(R"({"weights": "q8", "version": 2})", "quant_method");
  refused(R"({"quant_method": "precis", "weights": "q3", "version": 2})", "weights: expected q8, q6, q5 or q4");
  refused(R"({"quant_method": "precis", "weights": "q8", "version": 1})", "version");
  refused(R"({"quant_method": "precis", "weights": "q4", "version": 2})", "version: expected 3");
  refused(R"({"quant_method": "precis", "weights": "q8"})", "version");
  refused(R"({"quant_method": "precis", "weights": "q8", "version": 2, "group": 64})", "group");
  refused(R"("q8")", "expected an object");
}

TEST(Tensors, SummaryModelsTakeTheirRowsFromTheTensor) {
  const auto config = changed(small_config("ksa"), R"({"tie_word_embeddings": true, "vocab_size": 15})");
  ZeroModel model(config);
  EXPECT_EQ(model.read().embeddings, 16);
  model.add("model.embed_tokens.weight", {20, 8});
  EXPECT_EQ(model.read().embeddings, 20);
  EXPECT_EQ(model.read().vocabulary, 15);
  model.add("model.embed_tokens.weight", {15, 8});
  model.expect_refused("summary_token_begin: expected 1 rows from there on in an embedding of 15");
  model.remove("model.embed_tokens.weight");
  model.expect_refused("model.embed_tokens.weight: no such tensor");
}

}  // namespace
}  // namespace precis
