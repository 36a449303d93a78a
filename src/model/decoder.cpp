#include "model/decoder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/checked.h"
#include "base/error.h"
#include "model/device_inputs.h"
#include "model/positions.h"

namespace precis {

Decoder::Decoder(const ModelSpec& spec, const Weights& weights, const KvGeometry& geometry, Device& device,
                 const StepLimits& limits)
    : spec_(spec),
      weights_(weights),
      geometry_(geometry),
      ops_(device.ops()),
      places_(static_cast<std::size_t>(spec.layers)),
      rope_(make_rope_table(spec.rope, spec.head_dim)),
      work_(std::make_unique<Workspace>(spec, geometry, device.ops().runs_asynchronously(), limits,
                                        [&device](std::int64_t bytes) { return device.allocate(bytes); })),
      inputs_(std::make_unique<DeviceInputs>(device)),
      launched_(work_->results.size()) {
  for (std::size_t group = 0; group < geometry.groups.size(); ++group) {
    const std::vector<std::int32_t>& layers = geometry.groups[group].layers;
    for (std::size_t index = 0; index < layers.size(); ++index) {
      places_[static_cast<std::size_t>(layers[index])] = {group, static_cast<std::int64_t>(index)};
    }
  }
  ops_.to_device(work_->frequencies, rope_.frequencies.data(),
                 static_cast<std::int64_t>(rope_.frequencies.size() * sizeof(float)));
  if (work_->rotations != nullptr) fill_rotations(device, limits.positions);
}

void Decoder::fill_rotations(Device& device, std::int64_t positions) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(positions));
  std::iota(all.begin(), all.end(), 0);
  const std::int64_t bytes = positions * std::int64_t{sizeof(std::int32_t)};
  const Buffer on_device = device.allocate(bytes);
  ops_.to_device(on_device.as(), all.data(), bytes);
  ops_.rotation({.positions = on_device.as<std::int32_t>(),
                 .frequencies = work_->frequencies,
                 .magnitude = 1,
                 .rotation = work_->rotations,
                 .rows = positions,
                 .pairs = spec_.head_dim / 2});
}

Decoder::~Decoder() = default;

std::int64_t Decoder::max_rows() const {
  return work_->max_rows;
}
std::int64_t Decoder::max_logit_rows() const {
  return work_->max_logit_rows;
}
std::int64_t Decoder::workspace_bytes() const {
  return work_->bytes() + inputs_->bytes();
}

std::size_t Decoder::launch(const StepInputs& inputs, const KvMemory& memory) {
  PRECIS_CHECK(inputs.rows() <= work_->max_rows, "{} rows", inputs.rows());
  inputs_->load(inputs, drawn_places());
  place_ = (place_ + 1) % launched_.size();
  launched_[place_] = {static_cast<std::int64_t>(inputs.logit_rows.size()), inputs.draws};
  copy_pages(inputs.copies, memory);
  if (repeats(inputs)) {
    ops_.repeat(key_of(inputs, memory), [&] { compute(inputs, memory); });
  } else {
    compute(inputs, memory);
  }
  if (!inputs.logit_rows.empty()) {
    send_choices(place_, std::min(work_->max_logit_rows, launched_[place_].logit_rows));
  }
  return place_;
}

void Decoder::copy_pages(std::span<const PageCopy> copies, const KvMemory& memory) {
  std::vector<PageCopy> near;
  std::vector<PageCopy> far;  // counted from the first far page
  for (const PageCopy& copy : copies) {
    const auto first = static_cast<std::int32_t>(memory.pages.near);
    if (memory.far == nullptr || copy.from < first) {
      near.push_back(copy);
    } else {
      far.push_back({copy.from - first, copy.to - first});
    }
  }
  const auto copy_parts = [&](std::byte* base, std::int64_t bytes, std::int64_t pages, std::span<const PageCopy> of,
                              std::int64_t of_layer = 1) {
    if (bytes == 0 || of.empty()) return;
    ops_.copy_pages({base, bytes, of, of_layer * geometry_.layers_per_group(), pages * bytes});
  };
  const std::int64_t short_bytes = geometry_.short_page_bytes();
  const std::int64_t near_parts = geometry_.sides_apart ? 2 : 1;
  copy_parts(memory.near, geometry_.layer_bytes() / near_parts, memory.pages.near, near, near_parts);
  if (geometry_.near_short) copy_parts(geometry_.near_short_keys(memory, 0), short_bytes, memory.pages.near, near);
  copy_parts(memory.far, geometry_.layer_bytes(), memory.pages.far, far);
  copy_parts(memory.short_keys, short_bytes, memory.pages.far, far);
}

std::vector<std::int32_t> Decoder::drawn_places() const {
  const Launched& last = launched_[place_];
  const StepResults& results = work_->results[place_];
  std::vector<std::int32_t> places;
  for (std::int64_t row = 0; row < std::min(work_->max_logit_rows, last.logit_rows); ++row) {
    const bool drawn = !last.draws.empty() && last.draws[static_cast<std::size_t>(row)].wants == DrawWants::id;
    places.push_back(narrow<std::int32_t>((drawn ? &results.draws[row].id : results.best + row) - results.best));
  }
  return places;
}

bool Decoder::repeats(const StepInputs& inputs) const {
  constexpr std::int64_t most_rows = 64;
  constexpr std::int32_t most_run_rows = 4;  // a chunk's summaries
  const auto is_short = [](const RowRun& run) { return run.rows <= most_run_rows; };
  return inputs.rows() <= most_rows && static_cast<std::int64_t>(inputs.logit_rows.size()) <= work_->max_logit_rows &&
         std::ranges::all_of(inputs.runs.front(), is_short);
}

std::vector<std::int64_t> Decoder::key_of(const StepInputs& inputs, const KvMemory& memory) const {
  const auto number = [](const void* address) {
    return static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(address));
  };
  std::vector<std::int64_t> key = {static_cast<std::int64_t>(place_),
                                   number(memory.near),
                                   number(memory.far),
                                   number(inputs_->base()),
                                   inputs.text_rows,
                                   static_cast<std::int64_t>(inputs.logit_rows.size()),
                                   static_cast<std::int64_t>(inputs.draws.size())};
  for (const RowRun& run : inputs.runs.front()) key.insert(key.end(), {run.rows, run.decoded});
  for (const std::vector<RowRun>& runs : inputs.runs) {
    const TableSizes sizes = table_sizes(runs);
    key.insert(key.end(), {sizes.text, sizes.summary});
  }
  for (const std::vector<PickRun>& picks : inputs.picks) {
    key.push_back(static_cast<std::int64_t>(picks.size()));
    for (const PickRun& pick : picks) {
      const auto pages = std::bit_ceil(static_cast<std::uint32_t>(pick.track.count));
      key.insert(key.end(), {pick.first_row, pick.first_page, pick.count(), pages});
    }
  }
  return key;
}

// Up to the first logits. A function of nothing but what key_of() tells and of what lies on the device.
void Decoder::compute(const StepInputs& inputs, const KvMemory& memory) {
  ops_.rotation({.positions = inputs_->positions(),
                 .frequencies = work_->frequencies,
                 .magnitude = rope_.magnitude,
                 .rotation = work_->rotation,
                 .rows = inputs.rows(),
                 .pairs = spec_.head_dim / 2});
  const StepResults& before = work_->results[(place_ + 1) % work_->results.size()];
  ops_.embed({inputs_->ids(), weights_.embedding, work_->x, inputs.rows(), before.best});
  const std::size_t last = weights_.layers.size() - 1;
  for (std::size_t layer = 0; layer < last; ++layer) {
    attention_block(inputs, layer, memory);
    output_block(layer, work_->attended, inputs.rows());
  }
  attention_block(inputs, last, memory);
  const auto wanted = static_cast<std::int64_t>(inputs.logit_rows.size());
  if (wanted == 0) return;
  const float* attended = keep_logit_rows(inputs);
  output_block(last, attended, wanted);
  head(0, std::min(work_->max_logit_rows, wanted));
}

void Decoder::attention_block(const StepInputs& inputs, std::size_t layer, const KvMemory& memory) {
  const LayerWeights& weights = weights_.layers[layer];
  const std::int64_t texts = inputs.text_rows;
  const std::int64_t summaries = inputs.rows() - texts;
  qkv(inputs, weights);

  const LayerPlace place = places_[layer];
  const auto rule = static_cast<std::size_t>(spec_.rule_of_layer[layer]);
  const KvView kv = geometry_.view(memory, place.index);
  const bool blends = work_->own_qkv != nullptr && summaries > 0;
  const Chosen chosen = spec_.esa ? chosen_in(*spec_.esa, spec_.rules[rule]) : Chosen::none;
  ops_.place({.qkv = work_->qkv,
              .own = blends ? work_->own_qkv : nullptr,
              .first_summary = texts,
              .mix = blends ? spec_.summary->mix : 0,
              .q_norm = weights.q_norm,
              .k_norm = weights.k_norm,
              .epsilon = spec_.epsilon,
              .rotation = work_->rotation,
              .slots = inputs_->slots(place.group),
              .kv = kv,
              .rows = inputs.rows(),
              .heads = spec_.heads,
              .query_sums = chosen != Chosen::none ? work_->query_sums : nullptr,
              .plain_keys = chosen != Chosen::none ? work_->plain_keys : nullptr});
  if (chosen != Chosen::none) select(inputs, layer, chosen, kv);
  ops_.attention({.q = work_->qkv,
                  .q_stride = spec_.qkv_width(),
                  .out = work_->attended,
                  .heads = spec_.heads,
                  .scale = 1 / std::sqrt(static_cast<float>(spec_.head_dim)),
                  .kv = kv,
                  .runs = inputs_->host_runs(place.group),
                  .device_runs = inputs_->runs(place.group),
                  .bounds = inputs_->bounds(rule),
                  .next = weights.output.weight,
                  .picked = geometry_.picked_view(work_->picked),
                  .picked_q = work_->picked_q,
                  .picks = inputs_->host_picks(place.group),
                  .device_picks = inputs_->picks(place.group),
                  .picked_list = picks_in_place() ? work_->picked_list : nullptr});
}

bool Decoder::picks_in_place() const {
  return spec_.esa && spec_.esa->positions == EsaPositions::absolute && ops_.attends_in_place();
}

void Decoder::select(const StepInputs& inputs, std::size_t layer, Chosen chosen, const KvView& kv) {
  const LayerWeights& weights = weights_.layers[layer];
  const std::size_t group = places_[layer].group;
  const std::int64_t length = spec_.kv_heads * spec_.head_dim;
  const bool texts = chosen == Chosen::texts;
  const std::int64_t first = texts ? 0 : inputs.text_rows;
  const std::span<const PickRun> picks = inputs_->host_picks(group);
  ops_.shorten({.keys = work_->plain_keys + first * length,
                .key_weight = weights.esa_k,
                .short_keys = work_->short_k,
                .slots = inputs_->slots(group) + first,
                .kv = kv,
                .key_rows = texts ? inputs.text_rows : inputs.rows() - inputs.text_rows,
                .queries = work_->query_sums,
                .query_weight = weights.esa_q,
                .short_queries = work_->short_q,
                .query_rows = picks.empty() ? 0 : inputs.text_rows});
  if (picks.empty()) return;
  ops_.select({.q = work_->short_q,
               .kv = kv,
               .proximity = spec_.esa->proximity,
               .runs = picks,
               .device_runs = inputs_->picks(group),
               .list = work_->picked_list});
  if (picks_in_place()) return;
  const EsaPositions positions = spec_.esa->positions;
  PickArgs pick{.kv = kv,
                .picked = geometry_.picked_view(work_->picked),
                .runs = picks,
                .device_runs = inputs_->picks(group),
                .list = work_->picked_list,
                .rotations = work_->rotations};
  if (positions != EsaPositions::absolute) {
    pick.turn = positions == EsaPositions::fixed ? KeyTurn::to_origin : KeyTurn::packed;
    pick.positions = entry_positions(spec_, !texts);
  }
  ops_.pick(pick);
  if (work_->picked_q == nullptr) return;
  ops_.turn({.q = work_->qkv,
             .q_stride = spec_.qkv_width(),
             .y = work_->picked_q,
             .positions = inputs_->positions(),
             .rotations = work_->rotations,
             .heads = spec_.heads,
             .head_dim = spec_.head_dim,
             .runs = picks,
             .device_runs = inputs_->picks(group)});
}

void Decoder::qkv(const StepInputs& inputs, const LayerWeights& layer) {
  const std::int64_t width = spec_.qkv_width();
  const std::int64_t keys = spec_.heads * spec_.head_dim;
  const std::int64_t values = keys + spec_.kv_heads * spec_.head_dim;
  const std::int64_t texts = inputs.text_rows;
  const std::int64_t summaries = inputs.rows() - texts;
  const bool norms_differ = layer.input_norm_summary != nullptr && texts > 0 && summaries > 0;
  if (norms_differ) norm_both(texts, summaries, layer);
  const float* own_norm =
      summaries > 0 && layer.input_norm_summary != nullptr ? layer.input_norm_summary : layer.input_norm;
  const float* x = norms_differ ? work_->normed : work_->x;
  const InputNorm norm = norms_differ ? InputNorm{} : InputNorm{own_norm, spec_.epsilon};
  const auto project = [&](const std::array<LinearWeights, 3>& w, std::int64_t first, std::int64_t rows, float* y) {
    if (rows == 0) return;
    const std::array<LinearPart, 3> parts = {{{w[0].weight, w[0].bias, y, width},
                                              {w[1].weight, w[1].bias, y + keys, width},
                                              {w[2].weight, w[2].bias, y + values, width}}};
    ops_.linear({.x = x + first * spec_.hidden, .x_stride = spec_.hidden, .rows = rows, .parts = parts, .norm = norm});
  };
  float* summary_qkv = work_->qkv + texts * width;
  if (!spec_.summary || !spec_.summary->own_projections) {
    project(layer.qkv, 0, inputs.rows(), work_->qkv);
  } else if (work_->own_qkv == nullptr) {
    project(layer.qkv, 0, texts, work_->qkv);
    project(layer.qkv_summary, texts, summaries, summary_qkv);
  } else {
    project(layer.qkv, 0, inputs.rows(), work_->qkv);
    project(layer.qkv_summary, texts, summaries, work_->own_qkv);
  }
}

void Decoder::norm_both(std::int64_t texts, std::int64_t summaries, const LayerWeights& layer) {
  const std::int64_t offset = texts * spec_.hidden;
  ops_.rms_norm({work_->x, layer.input_norm, work_->normed, texts, spec_.hidden, spec_.epsilon});
  ops_.rms_norm(
      {work_->x + offset, layer.input_norm_summary, work_->normed + offset, summaries, spec_.hidden, spec_.epsilon});
}

void Decoder::output_block(std::size_t index, const float* attended, std::int64_t rows) {
  const LayerWeights& layer = weights_.layers[index];
  const WeightView& output = layer.output.weight;
  const LinearPart part{output, layer.output.bias, work_->x, spec_.hidden};
  const InputNorm norm{layer.post_norm, spec_.epsilon};
  const bool is_last = index + 1 == weights_.layers.size();
  const float* next = is_last ? weights_.final_norm : weights_.layers[index + 1].input_norm;
  ops_.linear(
      {.x = attended, .x_stride = output.inputs, .rows = rows, .parts = {&part, 1}, .accumulate = true, .next = norm});
  ops_.mlp({.x = work_->x,
            .rows = rows,
            .gate = layer.gate,
            .up = layer.up,
            .down = layer.down,
            .norm = norm,
            .gated = work_->gated,
            .next = {next, spec_.epsilon}});
}

const float* Decoder::keep_logit_rows(const StepInputs& inputs) {
  const auto count = static_cast<std::int64_t>(inputs.logit_rows.size());
  if (count == inputs.rows()) return work_->attended;
  // q, k and v are not needed any more: their rows, wider than attention's, take the copy.
  ops_.gather({work_->attended, inputs_->logit_rows(), work_->qkv, count, spec_.heads * spec_.head_dim});
  ops_.gather({work_->x, inputs_->logit_rows(), work_->normed, count, spec_.hidden});
  std::swap(work_->x, work_->normed);
  return work_->qkv;
}

void Decoder::head(std::int64_t first, std::int64_t count) {
  const StepResults& results = work_->results[place_];
  const std::array<LinearPart, 1> parts = {{{weights_.head, nullptr, results.logits, spec_.vocabulary}}};
  ops_.linear({.x = work_->x + first * spec_.hidden,
               .x_stride = spec_.hidden,
               .rows = count,
               .parts = parts,
               .norm = {weights_.final_norm, spec_.epsilon}});
  if (launched_[place_].draws.empty()) {
    ops_.most_likely({results.logits, results.best, count, spec_.vocabulary});
  } else {
    ops_.draw({results.logits, inputs_->draws() + first, results.best, results.draws, count, spec_.vocabulary});
  }
}

void Decoder::send_choices(std::size_t place, std::int64_t count) {
  const StepResults& results = work_->results[place];
  const std::int64_t bytes = launched_[place].draws.empty()
                                 ? count * std::int64_t{sizeof(std::int32_t)}
                                 : results.best_bytes() + count * std::int64_t{sizeof(RowDraw)};
  ops_.set_out(place, results.best, bytes);
}

void Decoder::collect(std::size_t place, const LogitsSink& sink) {
  const StepResults& results = work_->results[place];
  const Launched& step = launched_[place];
  for (std::int64_t first = 0; first < step.logit_rows; first += work_->max_logit_rows) {
    const std::int64_t count = std::min(work_->max_logit_rows, step.logit_rows - first);
    if (first > 0) {
      head(first, count);
      send_choices(place, count);
    }
    const auto* choices = static_cast<const std::byte*>(ops_.arrived(place));
    const auto* best = reinterpret_cast<const std::int32_t*>(choices);
    const auto* draws = reinterpret_cast<const RowDraw*>(choices + results.best_bytes());
    for (std::int64_t row = 0; row < count; ++row) {
      const auto index = static_cast<std::size_t>(first + row);
      const bool draws_row = !step.draws.empty() && step.draws[index].wants != DrawWants::nothing;
      RowLogits logits(ops_, place, results.logits + row * spec_.vocabulary, spec_.vocabulary, best[row],
                       draws_row ? draws + row : nullptr);
      sink(index, logits);
    }
  }
}

}  // namespace precis
