// The transformer, written once: embedding, layers of attention and gated MLP, head. Knows rows, slots and visible
// sets; no sequences, no pages' owners, no family.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "device/device.h"
#include "kv/kv_geometry.h"
#include "model/model_spec.h"
#include "model/rope.h"
#include "model/row_logits.h"
#include "model/step_inputs.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace precis {

class DeviceInputs;

// Receives the logits of StepInputs::logit_rows in order: (index into logit_rows, its logits, valid during the call).
using LogitsSink = std::function<void(std::size_t index, RowLogits& logits)>;

// Used by one thread at a time. Device and weights outlive it.
class Decoder {
 public:
  // The temporary memory grows with `limits`. `weights` need not be loaded before the first step.
  Decoder(const ModelSpec& spec, const Weights& weights, const KvGeometry& geometry, Device& device,
          const StepLimits& limits);
  ~Decoder();

  // Calls all operations of one step, which write K and V of every row into the pool in `memory`. Gives the place that
  // collect() is told. A step with unseen ids comes right after the one that draws them, which has at most
  // max_logit_rows() logit rows.
  std::size_t launch(const StepInputs& inputs, const KvMemory& memory);
  // Waits for a step and hands out the wanted logits. One more step may have been launched since where operations run
  // asynchronously and the step has at most max_logit_rows() logit rows, otherwise none.
  void collect(std::size_t place, const LogitsSink& sink);

  std::int64_t max_rows() const;
  std::int64_t max_logit_rows() const;
  std::int64_t workspace_bytes() const;

 private:
  struct LayerPlace {
    std::size_t group;
    std::int64_t index;  // in the group
  };
  // A step from launch() to collect().
  struct Launched {
    std::int64_t logit_rows = 0;
    std::vector<DrawOptions> draws;  // StepInputs::draws
  };

  // Whether steps of this shape come again and again: decoding.
  bool repeats(const StepInputs& inputs) const;
  // Where the ids lie that the step launched last draws for its logit rows, counted from StepResults::best.
  std::vector<std::int32_t> drawn_places() const;
  // What the arguments of a step's operations follow from.
  std::vector<std::int64_t> key_of(const StepInputs& inputs, const KvMemory& memory) const;
  // All that pages of either kind hold.
  void copy_pages(std::span<const PageCopy> copies, const KvMemory& memory);
  void compute(const StepInputs& inputs, const KvMemory& memory);
  // Workspace::rotations.
  void fill_rotations(Device& device, std::int64_t positions);
  void attention_block(const StepInputs& inputs, std::size_t layer, const KvMemory& memory);
  // Short vectors of the rows that later ones choose from, and, where runs pick in this layer, what they pick.
  void select(const StepInputs& inputs, std::size_t layer, Chosen chosen, const KvView& kv);
  // Whether what was picked is attended to where it is.
  bool picks_in_place() const;
  void qkv(const StepInputs& inputs, const LayerWeights& layer);
  void norm_both(std::int64_t texts, std::int64_t summaries, const LayerWeights& layer);
  // From attention's output [rows, heads * head_dim] to the layer's end, for the first `rows` rows of x.
  void output_block(std::size_t index, const float* attended, std::int64_t rows);
  // Moves the rows whose logits are wanted to the front of x and returns their attention's output: past the last
  // layer's attention nothing else is needed.
  const float* keep_logit_rows(const StepInputs& inputs);
  // Logits of rows [first, first + count) of x, the most likely ids, and draws, of the step launched last.
  void head(std::int64_t first, std::int64_t count);
  // What was chosen in `count` rows sets out for the host.
  void send_choices(std::size_t place, std::int64_t count);

  const ModelSpec& spec_;
  const Weights& weights_;
  KvGeometry geometry_;
  Ops& ops_;
  std::vector<LayerPlace> places_;  // [layers]
  RopeTable rope_;
  std::unique_ptr<Workspace> work_;
  std::unique_ptr<DeviceInputs> inputs_;
  std::vector<Launched> launched_;  // beside Workspace::results
  std::size_t place_ = 0;           // of the step launched last
};

}  // namespace precis
