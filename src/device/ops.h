// The operations of a decoder, about a dozen coarse ones, each with one plain argument struct.
//
// Conventions. A *row* is one token in a step (text or summary). Activations are float matrices, one row a token, rows
// contiguous unless a stride (in elements) is given. All pointers are device memory unless said otherwise. What an
// operation writes for a row is a function of that row's inputs alone: never of the number of rows, of its neighbours,
// or of the number of threads. So a sequence alone, in a batch or cut at any place gives the same bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "device/attention_args.h"
#include "device/draw_args.h"
#include "device/select_args.h"
#include "device/weight_view.h"

namespace precis {

// x[r] = table[ids[r]]; an id below 0 stands for drawn[-1 - id].
struct EmbedArgs {
  const std::int32_t* ids;  // [rows], each below table.outputs
  WeightView table;         // [vocabulary, hidden]
  float* x;                 // [rows, hidden]
  std::int64_t rows;
  const std::int32_t* drawn = nullptr;  // ids that the operations before this one chose; none where no id is below 0

  std::int32_t id(std::int64_t row) const { return ids[row] < 0 ? drawn[-1 - ids[row]] : ids[row]; }
};

// y[r] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight. `y` may be `x`.
struct RmsNormArgs {
  const float* x;       // [rows, width]
  const float* weight;  // [width]
  float* y;             // [rows, width]
  std::int64_t rows;
  std::int64_t width;
  float epsilon;
};

// RMSNorm of rows on their way into products, as RmsNormArgs; without weights rows are taken as they are.
struct InputNorm {
  const float* weight = nullptr;  // [inputs]
  float epsilon = 0;
};

// One product of a LinearArgs: y[r] = W x[r] + bias, or y[r] += W x[r] + bias.
struct LinearPart {
  WeightView weight;            // [outputs, inputs]
  const float* bias = nullptr;  // [outputs] or none
  float* y = nullptr;           // [rows, outputs], row r at y + r * y_stride
  std::int64_t y_stride = 0;
};

// Products of the same rows with several matrices (q, k, v; gate, up), in one pass.
struct LinearArgs {
  const float* x;  // [rows, inputs], row r at x + r * x_stride
  std::int64_t x_stride;
  std::int64_t rows;
  std::span<const LinearPart> parts;  // host memory; at most 8
  bool accumulate = false;            // add to y (a residual) instead of overwriting it
  InputNorm norm = {};
  InputNorm next = {};  // of the product that takes y next, where that is known: a backend may prepare for it
};

// A matrix and its bias.
struct LinearWeights {
  WeightView weight;
  const float* bias = nullptr;  // [outputs] or none, as in most models
};

// The first half of an MLP: y[r][i] = silu(g) * u, where g and u are output i of the gate's and of up's product with
// x[r].
struct GateUpArgs {
  const float* x;  // [rows, inputs]
  std::int64_t rows;
  LinearWeights gate;  // [width, inputs]
  LinearWeights up;    // [width, inputs]
  InputNorm norm;
  float* y;  // [rows, width]
};

// An MLP and its residual: x[r] += down's product with the first half, GateUpArgs, of x[r].
struct MlpArgs {
  float* x;  // [rows, hidden]
  std::int64_t rows;
  LinearWeights gate;   // [width, hidden]
  LinearWeights up;     // [width, hidden]
  LinearWeights down;   // [hidden, width]
  InputNorm norm;       // of x on its way into gate and up
  float* gated;         // [rows, width]: temporary
  InputNorm next = {};  // as in LinearArgs
};

// cos and sin of position * frequency, times `magnitude` (YaRN's attention factor): the step's rotation, for all
// layers. Angles are rounded to float before cos and sin, as Hugging Face computes them.
struct RotationArgs {
  const std::int32_t* positions;  // [rows]
  const float* frequencies;       // [pairs], radians a position
  float magnitude;
  float* rotation;  // [rows, 2, pairs]: cosines, then sines
  std::int64_t rows;
  std::int64_t pairs;  // head_dim / 2
};

// The line between the q/k/v products and attention: q and k normed per head (where the model has such norms), the
// summary rows' own q, k, v blended in (KSA, mix_coeff), q and k rotated (pairs are dimension i and i + head_dim / 2),
// k and v written to their slots (rounded to nearest even; beyond f8_e4m3's largest number, to that). q stays in `qkv`.
struct PlaceArgs {
  float* qkv;  // [rows, (heads + 2 * kv_heads) * head_dim]: q, k, v of each row
  // Summary rows' own q, k, v, to be blended as mix * own + (1 - mix) * shared after the norms and before the rotation;
  // none where nothing is to be blended. Rows [first_summary, rows) of qkv in order.
  const float* own = nullptr;
  std::int64_t first_summary = 0;
  float mix = 0;
  const float* q_norm = nullptr;  // [head_dim] or none
  const float* k_norm = nullptr;  // [head_dim] or none
  float epsilon = 0;
  const float* rotation = nullptr;      // [rows, 2, head_dim / 2]
  const std::int64_t* slots = nullptr;  // [rows]: page * page_entries + entry in the page; < 0: not stored
  KvView kv;
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  // What rows choose by, after norms and blend and before the rotation; none where nobody chooses.
  float* query_sums = nullptr;  // [rows, kv_heads * head_dim]: q summed over the heads of each KV head
  float* plain_keys = nullptr;  // [rows, kv_heads * head_dim]: k
};

// y[i] = x[rows[i]]
struct GatherArgs {
  const float* x;            // [*, width]
  const std::int32_t* rows;  // [count]
  float* y;                  // [count, width]
  std::int64_t count;
  std::int64_t width;
};

// ids[r]: the first of row r's largest logits, those that are no numbers aside; 0 where all are none.
struct MostLikelyArgs {
  const float* logits;  // [rows, vocabulary]
  std::int32_t* ids;    // [rows]
  std::int64_t rows;
  std::int64_t vocabulary;
};

// A page whose bytes are copied before a sequence writes to what it shares. Copies happen in the order of their list:
// a page that one copy reads may be written by a later one.
struct PageCopy {
  std::int32_t from;
  std::int32_t to;
};

// Pages' parts, of which each page has one in each of `arrays` arrays.
struct CopyPagesArgs {
  std::byte* base = nullptr;
  std::int64_t page_bytes = 0;            // of a part
  std::span<const PageCopy> copies = {};  // host memory
  std::int64_t arrays = 1;
  std::int64_t array_bytes = 0;  // from one array to the next
};

class Ops {
 public:
  virtual ~Ops() = default;

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  virtual void gate_up(const GateUpArgs& args) = 0;
  // In one, where a backend has a shorter way than the two operations that it is made of.
  virtual void mlp(const MlpArgs& args) {
    gate_up({args.x, args.rows, args.gate, args.up, args.norm, args.gated});
    const WeightView& down = args.down.weight;
    const LinearPart part{down, args.down.bias, args.x, down.outputs};
    linear({.x = args.gated,
            .x_stride = down.inputs,
            .rows = args.rows,
            .parts = {&part, 1},
            .accumulate = true,
            .next = args.next});
  }
  virtual void rotation(const RotationArgs& args) = 0;
  virtual void place(const PlaceArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void gather(const GatherArgs& args) = 0;
  virtual void most_likely(const MostLikelyArgs& args) = 0;
  // most_likely(), and what `options` want of each row.
  virtual void draw(const DrawArgs& args) = 0;
  virtual void copy_pages(const CopyPagesArgs& args) = 0;
  // Whether there is what efficient selective attention needs: keep_short() and what follows it, place()'s query_sums
  // and plain_keys, and attention() of runs that have picked.
  virtual bool selects() const { return false; }
  // Whether attention() takes AttentionArgs::picked_list, so that what was picked and is not to be turned need not be
  // copied.
  virtual bool attends_in_place() const { return false; }
  // linear() and keep_short(), and linear(): in one, where a backend has a shorter way.
  virtual void shorten(const ShortenArgs& args);
  virtual void keep_short(const KeepShortArgs& args);
  virtual void select(const SelectArgs& args);
  virtual void pick(const PickArgs& args);
  virtual void turn(const TurnArgs& args);
  // Does `work`, which calls operations but none of those below. Calls with equal keys call the same operations with
  // the same arguments (what memory holds may differ), so that a device may record them and do them as one.
  virtual void repeat(std::span<const std::int64_t> key, const std::function<void()>& work) {
    static_cast<void>(key);
    work();
  }
  // The host's data where operations called later find it. The host may change its own right after the call.
  virtual void to_device(void* device, const void* host, std::int64_t bytes) = 0;
  // What the operations so far wrote at `device`, where the host can read it until the next operation: the memory
  // itself on a CPU, a copy elsewhere.
  virtual const void* on_host(const void* device, std::int64_t bytes) = 0;

  // Whether a call only begins an operation, so that the host can call those of a step while the step before runs.
  virtual bool runs_asynchronously() const { return false; }
  // on_host() in two halves, between which more operations may be called: what the operations so far wrote at `device`
  // sets out for the host, to one of two places.
  virtual void set_out(std::size_t place, const void* device, std::int64_t bytes) {
    arrived_[place] = on_host(device, bytes);
  }
  // Waits for it, and for no operation called since. Until the next set_out() to this place.
  virtual const void* arrived(std::size_t place) { return arrived_[place]; }
  // As on_host(), of what was written before set_out() to this place, which has arrived: waits for no operation called
  // since, and none of these writes there.
  virtual const void* on_host_since(std::size_t place, const void* device, std::int64_t bytes) {
    static_cast<void>(place);
    return on_host(device, bytes);
  }

 private:
  std::array<const void*, 2> arrived_ = {};  // where on_host() is the memory itself
};

}  // namespace precis
