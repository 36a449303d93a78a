// The operations of a device whose memory is not the host's, called with host memory: everything that an operation
// reads is copied to a buffer of exactly its size (so that a memory checker sees a read past its end), what it writes
// is copied back. So problems and comparisons serve every backend.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "device/device.h"
#include "device/ops.h"

namespace precis {

class MirrorOps final : public Ops {
 public:
  // The device outlives it.
  explicit MirrorOps(Device& device) : device_(device), ops_(device.ops()) {}

  void embed(const EmbedArgs& args) override {
    EmbedArgs on_device = args;
    on_device.ids = copy(args.ids, args.rows);
    const std::int32_t lowest = args.rows == 0 ? 0 : *std::min_element(args.ids, args.ids + args.rows);
    on_device.drawn = copy(args.drawn, lowest < 0 ? -lowest : 0);
    on_device.table = copy(args.table);
    Mirror x(*this, args.x, args.rows * args.table.inputs);
    on_device.x = x.device();
    ops_.embed(on_device);
    finish({&x});
  }

  void rms_norm(const RmsNormArgs& args) override {
    RmsNormArgs on_device = args;
    Mirror y(*this, args.y, args.rows * args.width);
    on_device.x = args.x == args.y ? y.device() : copy(args.x, args.rows * args.width);
    on_device.weight = copy(args.weight, args.width);
    on_device.y = y.device();
    ops_.rms_norm(on_device);
    finish({&y});
  }

  // The parts' outputs lie in one matrix side by side.
  void linear(const LinearArgs& args) override {
    if (args.rows == 0 || args.parts.empty()) return ops_.linear(args);
    float* first = args.parts.front().y;
    float* last = first;
    for (const LinearPart& part : args.parts) {
      first = std::min(first, part.y);
      last = std::max(last, part.y + (args.rows - 1) * part.y_stride + part.weight.outputs);
    }
    Mirror y(*this, first, last - first);
    std::vector<LinearPart> parts(args.parts.begin(), args.parts.end());
    for (LinearPart& part : parts) {
      part.y = y.device() + (part.y - first);
      part.bias = copy(part.bias, part.weight.outputs);
      part.weight = copy(part.weight);
    }
    LinearArgs on_device = args;
    on_device.x = copy(args.x, (args.rows - 1) * args.x_stride + parts.front().weight.inputs);
    on_device.parts = parts;
    on_device.norm.weight = copy(args.norm.weight, parts.front().weight.inputs);
    ops_.linear(on_device);
    finish({&y});
  }

  void rotation(const RotationArgs& args) override {
    RotationArgs on_device = args;
    on_device.positions = copy(args.positions, args.rows);
    on_device.frequencies = copy(args.frequencies, args.pairs);
    Mirror rotation(*this, args.rotation, args.rows * 2 * args.pairs);
    on_device.rotation = rotation.device();
    ops_.rotation(on_device);
    finish({&rotation});
  }

  void place(const PlaceArgs& args) override {
    const std::int64_t width = (args.heads + 2 * args.kv.kv_heads) * args.kv.head_dim;
    std::int64_t pages = 0;
    for (std::int64_t row = 0; row < args.rows; ++row) {
      if (args.slots[row] >= 0) pages = std::max(pages, args.slots[row] / args.kv.page_entries + 1);
    }
    PlaceArgs on_device = args;
    Mirror qkv(*this, args.qkv, args.rows * width);
    Mirror pool(*this, args.kv.base, near_pages(args.kv, pages) * args.kv.page_bytes);
    Mirror far(*this, args.kv.far_base, far_bytes(args.kv, pages));
    on_device.qkv = qkv.device();
    on_device.own = copy(args.own, (args.rows - args.first_summary) * width);
    on_device.q_norm = copy(args.q_norm, args.kv.head_dim);
    on_device.k_norm = copy(args.k_norm, args.kv.head_dim);
    on_device.rotation = copy(args.rotation, args.rows * args.kv.head_dim);
    on_device.slots = copy(args.slots, args.rows);
    on_device.kv.base = pool.device();
    on_device.kv.far_base = far.device();
    const std::int64_t length = args.query_sums == nullptr ? 0 : args.rows * args.kv.kv_heads * args.kv.head_dim;
    Mirror sums(*this, args.query_sums, length);
    Mirror keys(*this, args.plain_keys, length);
    on_device.query_sums = sums.device();
    on_device.plain_keys = keys.device();
    ops_.place(on_device);
    finish({&qkv, &pool, &far, &sums, &keys});
  }

  bool selects() const override { return ops_.selects(); }
  bool attends_in_place() const override { return ops_.attends_in_place(); }

  void shorten(const ShortenArgs& args) override {
    std::int64_t pages = 0;
    for (std::int64_t row = 0; row < args.key_rows; ++row) {
      pages = std::max(pages, args.slots[row] / args.kv.page_entries + 1);
    }
    ShortenArgs on_device = args;
    Mirror short_keys(*this, args.short_keys, args.key_rows * args.kv.short_dim);
    Mirror short_queries(*this, args.short_queries, args.query_rows * args.kv.short_dim);
    Mirror kept(*this, args.kv.near_short, near_pages(args.kv, pages) * short_page_bytes(args.kv));
    Mirror far(*this, args.kv.short_base, (pages - near_pages(args.kv, pages)) * short_page_bytes(args.kv));
    on_device.keys = copy(args.keys, args.key_rows * args.key_weight.inputs);
    on_device.key_weight = copy(args.key_weight);
    on_device.short_keys = short_keys.device();
    on_device.slots = copy(args.slots, args.key_rows);
    on_device.kv.near_short = kept.device();
    on_device.kv.short_base = far.device();
    on_device.queries = copy(args.queries, args.query_rows * args.query_weight.inputs);
    on_device.query_weight = copy(args.query_weight);
    on_device.short_queries = short_queries.device();
    ops_.shorten(on_device);
    finish({&short_queries, &kept, &far});
  }

  void keep_short(const KeepShortArgs& args) override {
    std::int64_t pages = 0;
    for (std::int64_t row = 0; row < args.rows; ++row) {
      pages = std::max(pages, args.slots[row] / args.kv.page_entries + 1);
    }
    KeepShortArgs on_device = args;
    Mirror short_keys(*this, args.kv.near_short, near_pages(args.kv, pages) * short_page_bytes(args.kv));
    Mirror far(*this, args.kv.short_base, (pages - near_pages(args.kv, pages)) * short_page_bytes(args.kv));
    on_device.x = copy(args.x, args.rows * args.kv.short_dim);
    on_device.slots = copy(args.slots, args.rows);
    on_device.kv.near_short = short_keys.device();
    on_device.kv.short_base = far.device();
    ops_.keep_short(on_device);
    finish({&short_keys, &far});
  }

  void select(const SelectArgs& args) override {
    const CopiedPicks picks = copy_picks(args.runs);
    SelectArgs on_device = args;
    Mirror list(*this, args.list, listed(args.runs, args.kv.page_entries));
    on_device.q = copy(args.q, picks.rows * args.kv.short_dim);
    const std::int64_t near = near_pages(args.kv, picks.pages);
    on_device.kv.near_short = copy_bytes(args.kv.near_short, near * short_page_bytes(args.kv));
    on_device.kv.short_base = copy_bytes(args.kv.short_base, (picks.pages - near) * short_page_bytes(args.kv));
    on_device.runs = picks.runs;
    on_device.device_runs = picks.on_device;
    on_device.list = list.device();
    ops_.select(on_device);
    finish({&list});
  }

  void pick(const PickArgs& args) override {
    const CopiedPicks picks = copy_picks(args.runs);
    const std::int64_t count = listed(args.runs, args.kv.page_entries);
    PickArgs on_device = args;
    Mirror picked(*this, args.picked.base, pages_of(count, args.kv.page_entries) * args.picked.page_bytes);
    copy_pool(on_device.kv, picks.pages);
    on_device.picked.base = picked.device();
    on_device.runs = picks.runs;
    on_device.device_runs = picks.on_device;
    on_device.list = copy(args.list, count);
    std::int64_t positions = 0;
    for (const PickRun& run : args.runs) {
      positions = std::max<std::int64_t>(positions, args.positions(std::max(run.end, run.local) - 1) + 1);
    }
    on_device.rotations = copy(args.rotations, positions * args.kv.head_dim);
    ops_.pick(on_device);
    finish({&picked});
  }

  void turn(const TurnArgs& args) override {
    const CopiedPicks picks = copy_picks(args.runs);
    const std::int64_t width = args.heads * args.head_dim;
    TurnArgs on_device = args;
    Mirror y(*this, args.y, picks.rows * width);
    on_device.q = copy(args.q, (picks.rows - 1) * args.q_stride + width);
    on_device.y = y.device();
    on_device.positions = copy(args.positions, picks.rows);
    std::int32_t positions = *std::max_element(args.positions, args.positions + picks.rows) + 1;
    for (const PickRun& run : args.runs) positions = std::max(positions, run.distance + 1);
    on_device.rotations = copy(args.rotations, positions * args.head_dim);
    on_device.runs = picks.runs;
    on_device.device_runs = picks.on_device;
    ops_.turn(on_device);
    finish({&y});
  }

  void attention(const AttentionArgs& args) override {
    std::vector<RowRun> runs(args.runs.begin(), args.runs.end());
    std::int64_t rows = 0;
    const CopiedPicks picks = copy_picks(args.picks);
    std::int64_t pages = picks.pages;
    std::int64_t picked_pages = 0;
    for (RowRun& run : runs) {
      rows += run.rows;
      for (TrackPages* track : {&run.text, &run.summary}) {
        std::int64_t& most = run.picked && track == &run.summary ? picked_pages : pages;
        for (std::int32_t i = 0; i < track->count; ++i) most = std::max<std::int64_t>(most, track->pages[i] + 1);
        track->pages = copy(track->pages, track->count);
      }
    }
    const std::int64_t width = args.heads * args.kv.head_dim;
    AttentionArgs on_device = args;
    Mirror out(*this, args.out, rows * width);
    on_device.q = copy(args.q, rows == 0 ? 0 : (rows - 1) * args.q_stride + width);
    on_device.out = out.device();
    copy_pool(on_device.kv, pages);
    copy_pool(on_device.picked, picked_pages);
    on_device.picked_q = copy(args.picked_q, rows * width);
    on_device.picks = picks.runs;
    on_device.device_picks = picks.on_device;
    on_device.picked_list = copy(args.picked_list, listed(args.picks, args.kv.page_entries));
    on_device.runs = runs;
    on_device.device_runs = copy(runs.data(), static_cast<std::int64_t>(runs.size()));
    on_device.bounds = copy(args.bounds, rows);
    ops_.attention(on_device);
    finish({&out});
  }

  void gate_up(const GateUpArgs& args) override {
    const std::int64_t inputs = args.gate.weight.inputs;
    const std::int64_t width = args.gate.weight.outputs;
    GateUpArgs on_device = args;
    on_device.x = copy(args.x, args.rows * inputs);
    for (LinearWeights* weights : {&on_device.gate, &on_device.up}) {
      weights->weight = copy(weights->weight);
      weights->bias = copy(weights->bias, width);
    }
    on_device.norm.weight = copy(args.norm.weight, inputs);
    Mirror y(*this, args.y, args.rows * width);
    on_device.y = y.device();
    ops_.gate_up(on_device);
    finish({&y});
  }

  void mlp(const MlpArgs& args) override {
    const std::int64_t hidden = args.gate.weight.inputs;
    MlpArgs on_device = args;
    Mirror x(*this, args.x, args.rows * hidden);
    on_device.x = x.device();
    for (LinearWeights* weights : {&on_device.gate, &on_device.up, &on_device.down}) {
      weights->bias = copy(weights->bias, weights->weight.outputs);
      weights->weight = copy(weights->weight);
    }
    on_device.norm.weight = copy(args.norm.weight, hidden);
    Mirror gated(*this, args.gated, args.rows * args.gate.weight.outputs);
    on_device.gated = gated.device();
    ops_.mlp(on_device);
    finish({&x});
  }

  void gather(const GatherArgs& args) override {
    std::int64_t rows = 0;
    for (std::int64_t i = 0; i < args.count; ++i) rows = std::max<std::int64_t>(rows, args.rows[i] + 1);
    GatherArgs on_device = args;
    on_device.x = copy(args.x, rows * args.width);
    on_device.rows = copy(args.rows, args.count);
    Mirror y(*this, args.y, args.count * args.width);
    on_device.y = y.device();
    ops_.gather(on_device);
    finish({&y});
  }

  void most_likely(const MostLikelyArgs& args) override {
    MostLikelyArgs on_device = args;
    on_device.logits = copy(args.logits, args.rows * args.vocabulary);
    Mirror ids(*this, args.ids, args.rows);
    on_device.ids = ids.device();
    ops_.most_likely(on_device);
    finish({&ids});
  }

  void draw(const DrawArgs& args) override {
    DrawArgs on_device = args;
    on_device.logits = copy(args.logits, args.rows * args.vocabulary);
    on_device.options = copy(args.options, args.rows);
    Mirror ids(*this, args.ids, args.rows);
    Mirror draws(*this, args.draws, args.rows);
    on_device.ids = ids.device();
    on_device.draws = draws.device();
    ops_.draw(on_device);
    finish({&ids, &draws});
  }

  void copy_pages(const CopyPagesArgs& args) override {
    std::int64_t pages = 0;
    for (const PageCopy& page : args.copies) pages = std::max<std::int64_t>(pages, std::max(page.from, page.to) + 1);
    CopyPagesArgs on_device = args;
    Mirror pool(*this, args.base, (args.arrays - 1) * args.array_bytes + pages * args.page_bytes);
    on_device.base = pool.device();
    ops_.copy_pages(on_device);
    finish({&pool});
  }

  void to_device(void* device, const void* host, std::int64_t bytes) override { ops_.to_device(device, host, bytes); }
  const void* on_host(const void* device, std::int64_t bytes) override { return ops_.on_host(device, bytes); }

 private:
  struct CopiedPicks {
    std::vector<PickRun> runs;
    const PickRun* on_device;
    std::int64_t rows;   // of the step, up to the last one that picks
    std::int64_t pages;  // that tracks have
  };

  static std::int64_t pages_of(std::int64_t entries, std::int64_t page_entries) {
    return (entries + page_entries - 1) / page_entries;
  }

  // Numbers of a list.
  static std::int64_t listed(std::span<const PickRun> runs, std::int64_t page_entries) {
    std::int64_t count = 0;
    for (const PickRun& run : runs) count = std::max(count, run.first_page * page_entries + run.count());
    return count;
  }

  CopiedPicks copy_picks(std::span<const PickRun> picks) {
    CopiedPicks copied{{picks.begin(), picks.end()}, nullptr, 0, 0};
    for (PickRun& run : copied.runs) {
      copied.rows = std::max<std::int64_t>(copied.rows, run.first_row + run.rows);
      for (std::int32_t i = 0; i < run.track.count; ++i) {
        copied.pages = std::max<std::int64_t>(copied.pages, run.track.pages[i] + 1);
      }
      run.track.pages = copy(run.track.pages, run.track.count);
    }
    copied.on_device = copy(copied.runs.data(), static_cast<std::int64_t>(copied.runs.size()));
    return copied;
  }

  static std::int64_t short_page_bytes(const KvView& kv) {
    return kv.page_entries * kv.short_dim * size_of(kv.short_type());
  }

  // Of pages [0, pages).
  static std::int64_t near_pages(const KvView& kv, std::int64_t pages) { return std::min(pages, kv.near_pages); }
  static std::int64_t far_bytes(const KvView& kv, std::int64_t pages) {
    return (pages - near_pages(kv, pages)) * kv.page_bytes;
  }

  std::byte* copy_bytes(const std::byte* host, std::int64_t bytes) {
    return const_cast<std::byte*>(copy<std::byte>(host, bytes));
  }

  void copy_pool(KvView& kv, std::int64_t pages) {
    kv.far_base = copy_bytes(kv.far_base, far_bytes(kv, pages));
    kv.base = copy_bytes(kv.base, near_pages(kv, pages) * kv.page_bytes);
  }

  class Copied {
   public:
    virtual ~Copied() = default;
    virtual void bring_back(Ops& ops) = 0;
  };

  // Memory that an operation writes to.
  template <typename T>
  class Mirror final : public Copied {
   public:
    Mirror(MirrorOps& ops, T* host, std::int64_t count)
        : host_(host), bytes_(count * static_cast<std::int64_t>(sizeof(T))), device_(ops.copy(host, count)) {}

    T* device() const { return const_cast<T*>(device_); }
    void bring_back(Ops& ops) override {
      if (bytes_ > 0) std::memcpy(host_, ops.on_host(device_, bytes_), static_cast<std::size_t>(bytes_));
    }

   private:
    T* host_;
    std::int64_t bytes_;
    const T* device_;
  };
  template <typename T>
  Mirror(MirrorOps&, T*, std::int64_t) -> Mirror<T>;

  template <typename T>
  const T* copy(const T* host, std::int64_t count) {
    if (host == nullptr) return nullptr;
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    buffers_.push_back(device_.allocate(bytes));
    ops_.to_device(buffers_.back().as(), host, bytes);
    return buffers_.back().as<T>();
  }

  WeightView copy(const WeightView& weight) {
    WeightView view = weight;
    view.data = copy(weight.data, weight.outputs * value_row_bytes(weight.format, weight.inputs));
    view.scales = copy(weight.scales, weight.outputs * scale_row_bytes(weight.format, weight.inputs) / 2);
    return view;
  }

  void finish(std::initializer_list<Copied*> written) {
    for (Copied* memory : written) memory->bring_back(ops_);
    buffers_.clear();
  }

  Device& device_;
  Ops& ops_;
  std::vector<Buffer> buffers_;
};

}  // namespace precis
