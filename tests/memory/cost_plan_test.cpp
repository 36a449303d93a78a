// What computing costs: against numbers worked out by hand, and against sets of entries counted one by one.
#include "memory/cost_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "attention/visible_set.h"
#include "backend/factory.h"
#include "device/host_memory.h"
#include "families/families.h"
#include "model/weight_names.h"
#include "support/random_spec.h"
#include "support/reference_numbers.h"

namespace precis::test {
namespace {

// The tensors that a model needs, all zeros; nothing of the large ones is ever touched.
class Zeros final : public TensorSource {
 public:
  Zeros(const ModelSpec& spec, DType type) : tensors_(expected_tensors(spec)), type_(type) {}

  std::optional<HostTensor> find(std::string_view name) const override {
    const auto named = [&](const ExpectedTensor& tensor) { return tensor.name == name; };
    const auto found = std::find_if(tensors_.begin(), tensors_.end(), named);
    if (found == tensors_.end()) return std::nullopt;
    HostTensor tensor{{nullptr, type_, found->shape}, nullptr};
    const auto memory = std::make_shared<const Buffer>(allocate_host(tensor.view.bytes()));
    tensor.view.data = memory->as<std::byte>();
    tensor.keeper = memory;
    return tensor;
  }

 private:
  std::vector<ExpectedTensor> tensors_;
  DType type_;
};

// A model with all that its costs follow from.
class Costs {
 public:
  explicit Costs(ModelSpec spec, DType type = DType::bf16)
      : spec_(std::move(spec)), device_(open_backend("reference", {})) {
    weights_ = load_weights(Zeros(spec_, type), spec_, *device_);
    geometry_ = make_kv_geometry(spec_.rule_of_layer, 16, spec_.kv_heads, spec_.head_dim, DType::bf16);
    plan_.emplace(spec_, geometry_, weight_reads(weights_, spec_));
  }

  const CostPlan& operator*() const { return *plan_; }
  const Weights& weights() const { return weights_; }
  WeightReads reads() const { return weight_reads(weights_, spec_); }

 private:
  ModelSpec spec_;
  std::unique_ptr<Device> device_;
  Weights weights_;
  KvGeometry geometry_;
  std::optional<CostPlan> plan_;
};

ModelSpec demo_spec(const char* name) {
  return read_model_spec(JsonView::read(models_folder() / name / "config.json"));
}

// Costs are whole numbers, so that they compare exactly.
void expect_cost(const StepCost& cost, std::int64_t bytes, std::int64_t flops) {
  EXPECT_EQ(static_cast<std::int64_t>(cost.bytes), bytes);
  EXPECT_EQ(static_cast<std::int64_t>(cost.flops), flops);
}

// 8 layers, hidden 256, ffn 704, 4/2 heads of 64, 8,192 ids, tied. A layer's matrices: q, k, v 256 x 512, output
// 256 x 256, MLP 3 x 256 x 704: 737,280 elements; head 2,097,152. Norms in float: 8 x (2 x 256 + 2 x 64) + 256.
TEST(CostPlanTest, DemoDense) {
  const Costs costs(demo_spec("demo-dense"));
  constexpr std::int64_t weights = 2 * (8 * 737'280 + 2'097'152) + 4 * (8 * 640 + 256);
  static_assert(weights == 16'012'288);
  EXPECT_EQ(costs.weights().bytes, weights);  // all of them, as the head is the embedding
  // Token 1000 sees 1001 entries of 512 bytes in each layer.
  constexpr std::int64_t products = 2 * (8 * 737'280 + 2'097'152);
  expect_cost((*costs).answer(1000, 1, 1), weights + 8 * 1001 * 512, products + 8 * 1001 * 4 * 4 * 64);
  expect_cost((*costs).answer(1000, 1, 3), weights + 3 * 8 * 1001 * 512, 3 * (products + 8 * 1001 * 4 * 4 * 64));
  expect_cost((*costs).answer(0, 2, 1), 2 * weights + 8 * (1 + 2) * 512, 2 * products + 8 * (1 + 2) * 4 * 4 * 64);
}

// As demo-dense with 12 layers and 8,193 rows of which 8,192 are the head; 9 layers see 32 chunks of 8 tokens and their
// own, and the summaries before. Summary rows have their own q, k and v.
TEST(CostPlanTest, DemoKsa) {
  const Costs costs(demo_spec("demo-ksa"));
  constexpr std::int64_t text = 2 * (12 * 737'280 + 2'097'152) + 4 * (12 * 640 + 256);
  constexpr std::int64_t own = 2 * 12 * 256 * 512;
  static_assert(text == 21'920'768 && own == 3'145'728);
  EXPECT_EQ(costs.reads().always + costs.reads().logits, text);
  EXPECT_EQ(costs.reads().summaries, own);
  constexpr std::int64_t products = 2 * (12 * 737'280 + 2'097'152);
  constexpr std::int64_t pair = 4 * 4 * 64;
  // Token 1000 begins chunk 125: text from chunk 93 on (744 to 1000), 93 summaries.
  constexpr std::int64_t seen = 9 * (257 + 93) + 3 * 1001;
  expect_cost((*costs).answer(1000, 1, 1), text + seen * 512, products + seen * pair);
  // Token 1007 ends it: its summary sees 8 tokens and itself, in all layers, and leaves the last after its attention.
  constexpr std::int64_t last = 9 * (264 + 93) + 3 * 1008;
  constexpr std::int64_t summary = 2 * (12 * 256 * 512 + 11 * (256 * 256 + 3 * 256 * 704));
  expect_cost((*costs).answer(1007, 1, 1), text + own + (last + 12) * 512, products + summary + (last + 12 * 9) * pair);
  static_assert(text + own + (last + 12) * 512 == 28'265'984);
  static_assert(products + summary + (last + 12 * 9) * pair == 44'868'608);
}

// 28 layers, hidden 1024, ffn 3072, 16/8 heads of 128, 151,936 ids, tied; the numbers from a calculation outside.
TEST(CostPlanTest, Qwen3With600MillionParameters) {
  const nlohmann::json config = {{"architectures", {"Qwen3ForCausalLM"}},
                                 {"hidden_size", 1024},
                                 {"intermediate_size", 3072},
                                 {"num_hidden_layers", 28},
                                 {"num_attention_heads", 16},
                                 {"num_key_value_heads", 8},
                                 {"head_dim", 128},
                                 {"vocab_size", 151936},
                                 {"max_position_embeddings", 40960},
                                 {"tie_word_embeddings", true},
                                 {"torch_dtype", "bfloat16"}};
  const Costs costs(read_model_spec(JsonView::parse(config.dump(), "config.json")));
  EXPECT_EQ(costs.reads().always, 857'989'120);
  EXPECT_EQ(costs.reads().logits, 334'241'792);
  EXPECT_EQ(costs.reads().summaries, 0);
  EXPECT_EQ(costs.weights().bytes, 857'989'120 + 334'241'792);
  expect_cost((*costs).answer(4096, 1, 1), 1'662'107'648, 2'131'722'240);
  expect_cost((*costs).prompt(0, 512, 512), 1'250'951'168, 469'618'130'944);
  // In two steps the weights are read twice, but for what only the last token needs, and the first half's K and V.
  expect_cost((*costs).prompt(0, 512, 256), 2'138'300'416, 469'618'130'944);
}

TEST(CostPlanTest, AnUntiedHeadCountsAndItsEmbeddingDoesNot) {
  ModelSpec tied = demo_spec("demo-dense");
  ModelSpec untied = tied;
  untied.tied_head = false;
  const Costs a(tied);
  const Costs b(untied);
  EXPECT_EQ((*a).answer(10, 1, 1).bytes, (*b).answer(10, 1, 1).bytes);
  EXPECT_EQ(b.weights().bytes - a.weights().bytes, 8192 * 256 * 2);
  EXPECT_EQ((*Costs(tied, DType::f32)).answer(10, 1, 1).bytes - (*a).answer(10, 1, 1).bytes,
            2.0 * (8 * 737'280 + 2'097'152));
}

// Every entry that a row sees, by layer and track, collected one by one.
StepCost attention_by_sets(const ModelSpec& spec, std::int64_t from, std::int64_t to, std::int64_t piece,
                           std::int64_t entry_bytes) {
  StepCost cost;
  for (std::int64_t begin = from; begin < to; begin += piece) {
    const std::int64_t end = std::min(begin + piece, to);
    std::set<std::tuple<std::int64_t, bool, std::int32_t>> read;
    std::int64_t seen = 0;
    for (std::int64_t layer = 0; layer < spec.layers; ++layer) {
      const auto see = [&](const RowBounds& bounds) {
        for (std::int32_t i = bounds.text.low; i < bounds.text.high; ++i) read.insert({layer, false, i}), ++seen;
        for (std::int32_t i = bounds.summary.low; i < bounds.summary.high; ++i) read.insert({layer, true, i}), ++seen;
      };
      const LayerRule& rule = spec.rules[static_cast<std::size_t>(spec.rule_of_layer[static_cast<std::size_t>(layer)])];
      for (std::int64_t text = begin; text < end; ++text) {
        see(text_row_bounds(rule, spec.chunk, text));
        if (!spec.chunk.any() || (text + 1) % spec.chunk.text != 0) continue;
        for (std::int64_t index = 0; index < spec.chunk.summary; ++index) {
          see(summary_row_bounds(spec.chunk, text / spec.chunk.text, index));
        }
      }
    }
    cost += {static_cast<double>(static_cast<std::int64_t>(read.size()) * entry_bytes),
             static_cast<double>(seen * 4 * spec.heads * spec.head_dim)};
  }
  return cost;
}

TEST(CostPlanTest, AttentionReadsWhatTheVisibleSetsSay) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    ModelSpec spec = random_spec(random);
    SCOPED_TRACE(describe(spec));
    const KvGeometry geometry = make_kv_geometry(spec.rule_of_layer, 16, spec.kv_heads, spec.head_dim, DType::f32);
    spec.hidden = spec.ffn = 0;  // products cost nothing, and no weights are read
    const CostPlan plan(spec, geometry, {});
    const std::int64_t from = random.between(0, 150);
    const std::int64_t tokens = random.between(1, 120);
    const std::int64_t piece = random.between(1, 60);
    const StepCost prompt = attention_by_sets(spec, from, from + tokens, piece, geometry.entry_bytes());
    EXPECT_EQ(plan.prompt(from, tokens, piece).bytes, prompt.bytes);
    EXPECT_EQ(plan.prompt(from, tokens, piece).flops, prompt.flops);
    const StepCost answer = attention_by_sets(spec, from, from + tokens, 1, geometry.entry_bytes());
    EXPECT_EQ(plan.answer(from, tokens, 2).bytes, 2 * answer.bytes);
    EXPECT_EQ(plan.answer(from, tokens, 2).flops, 2 * answer.flops);
  }
}

}  // namespace
}  // namespace precis::test
