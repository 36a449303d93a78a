#include "backend/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <span>
#include <vector>

#include "backend/reference/elements.h"

namespace precis::reference {
namespace {

// y = x / sqrt(mean(x^2) + epsilon) * weight
void normalise(const float* x, const float* weight, float* y, std::int64_t width, float epsilon) {
  double squares = 0;
  for (std::int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double root = std::sqrt(squares / static_cast<double>(width) + epsilon);
  for (std::int64_t i = 0; i < width; ++i) y[i] = static_cast<float>(x[i] / root * weight[i]);
}

// The rows one after the other, normed where there are weights for it.
std::vector<float> normed_rows(const float* x, std::int64_t stride, std::int64_t rows, std::size_t width,
                               const InputNorm& norm) {
  std::vector<float> all;
  for (std::int64_t row = 0; row < rows; ++row) {
    all.insert(all.end(), x + row * stride, x + row * stride + width);
    float* last = all.data() + all.size() - width;
    if (norm.weight != nullptr) normalise(last, norm.weight, last, static_cast<std::int64_t>(width), norm.epsilon);
  }
  return all;
}

// x = mix * own + (1 - mix) * x
void blend(float* x, const float* own, float mix, std::int64_t width) {
  for (std::int64_t i = 0; i < width; ++i) x[i] = mix * own[i] + (1 - mix) * x[i];
}

struct KeyAndValue {
  const std::byte* key;
  const std::byte* value;
};

// What a row sees of one KV head, in the order of AttentionArgs.
std::vector<KeyAndValue> visible_entries(const AttentionArgs& args, const RowRun& run, const RowBounds& bounds,
                                         std::int64_t kv_head) {
  std::vector<KeyAndValue> entries;
  const auto add = [&](const KvView& of, const Bounds& interval, const TrackPages& track) {
    for (std::int64_t entry = interval.low; entry < interval.high; ++entry) {
      const std::int32_t page = track.pages[entry / of.page_entries - track.first_page];
      const std::byte* key = of.key(page, kv_head, entry % of.page_entries);
      entries.push_back({key, key + of.value_offset});
    }
  };
  add(run.picked ? args.picked : args.kv, bounds.summary, run.summary);
  add(args.kv, bounds.text, run.text);
  return entries;
}

// out = softmax(q K^T * scale) V for one query, which is `summary_q` for the first `summaries` entries.
void attend(const float* q, const float* summary_q, std::size_t summaries, const std::vector<KeyAndValue>& entries,
            const KvView& kv, float scale, float* out) {
  std::vector<double> weights;
  double maximum = -std::numeric_limits<double>::infinity();
  for (const auto& [key, value] : entries) {
    const float* query = weights.size() < summaries ? summary_q : q;
    double score = 0;
    for (std::int64_t d = 0; d < kv.head_dim; ++d) score += static_cast<double>(query[d]) * element(key, kv.type, d);
    weights.push_back(score * scale);
    maximum = std::max(maximum, weights.back());
  }
  double total = 0;
  for (double& weight : weights) {
    weight = std::exp(weight - maximum);
    total += weight;
  }
  for (std::int64_t d = 0; d < kv.head_dim; ++d) {
    double sum = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) sum += weights[i] * element(entries[i].value, kv.type, d);
    out[d] = static_cast<float>(sum / total);
  }
}

// All that is known of a row's draw, whatever is wanted.
void draw_row(std::span<const float> logits, const DrawOptions& options, std::int32_t best, RowDraw& draw) {
  std::vector<Candidate> order;
  std::vector<double> weights;
  draw.sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) order.push_back({logit, static_cast<std::int32_t>(weights.size())});
    const float scaled = (logit - logits[static_cast<std::size_t>(best)]) / options.temperature;
    weights.push_back(scaled >= options.least ? std::exp(static_cast<double>(scaled)) : 0);
    draw.sum += weights.back();
  }
  std::ranges::stable_sort(order, std::greater(), &Candidate::logit);
  draw.holds_all = order.size() <= std::size(draw.candidates) ? 1 : 0;
  draw.count = static_cast<std::int32_t>(std::min(order.size(), std::size(draw.candidates)));
  std::copy_n(order.begin(), draw.count, std::begin(draw.candidates));
  draw.id = best;
  double left = options.uniform * draw.sum;
  for (std::size_t id = 0; id < weights.size() && left >= 0; ++id) {
    if (weights[id] > 0) draw.id = static_cast<std::int32_t>(id);
    left -= weights[id];
  }
}

}  // namespace

void ReferenceOps::embed(const EmbedArgs& args) {
  const std::int64_t width = args.table.inputs;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const std::int32_t id = args.id(row);
    dequantize_row(args.table.format, args.table.row(id), args.table.row_scales(id),
                   {args.x + row * width, static_cast<std::size_t>(width)});
  }
}

void ReferenceOps::rms_norm(const RmsNormArgs& args) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const std::int64_t start = row * args.width;
    normalise(args.x + start, args.weight, args.y + start, args.width, args.epsilon);
  }
}

void ReferenceOps::linear(const LinearArgs& args) {
  if (args.parts.empty()) return;
  const auto inputs = static_cast<std::size_t>(args.parts.front().weight.inputs);
  const std::vector<float> rows = normed_rows(args.x, args.x_stride, args.rows, inputs, args.norm);
  for (const LinearPart& part : args.parts) {
    const WeightView& weight = part.weight;
    std::vector<float> w(static_cast<std::size_t>(weight.inputs));
    for (std::int64_t output = 0; output < weight.outputs; ++output) {
      dequantize_row(weight.format, weight.row(output), weight.row_scales(output), w);
      for (std::int64_t row = 0; row < args.rows; ++row) {
        const float* x = rows.data() + row * weight.inputs;
        double sum = part.bias == nullptr ? 0 : part.bias[output];
        for (std::size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(x[i]) * w[i];
        float& y = part.y[row * part.y_stride + output];
        y = static_cast<float>(args.accumulate ? y + sum : sum);
      }
    }
  }
}

void ReferenceOps::gate_up(const GateUpArgs& args) {
  const std::int64_t width = args.gate.weight.outputs;
  std::vector<float> up(static_cast<std::size_t>(args.rows * width));
  const LinearPart parts[] = {{args.gate.weight, args.gate.bias, args.y, width},
                              {args.up.weight, args.up.bias, up.data(), width}};
  const std::int64_t inputs = args.gate.weight.inputs;
  linear({.x = args.x, .x_stride = inputs, .rows = args.rows, .parts = parts, .norm = args.norm});
  for (std::size_t i = 0; i < up.size(); ++i) {
    const double gate = args.y[i];
    args.y[i] = static_cast<float>(gate / (1 + std::exp(-gate)) * up[i]);
  }
}

void ReferenceOps::rotation(const RotationArgs& args) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    float* cosines = args.rotation + row * 2 * args.pairs;
    float* sines = cosines + args.pairs;
    for (std::int64_t pair = 0; pair < args.pairs; ++pair) {
      const float angle = static_cast<float>(args.positions[row]) * args.frequencies[pair];
      cosines[pair] = static_cast<float>(std::cos(static_cast<double>(angle))) * args.magnitude;
      sines[pair] = static_cast<float>(std::sin(static_cast<double>(angle))) * args.magnitude;
    }
  }
}

void ReferenceOps::place(const PlaceArgs& args) {
  const KvView& kv = args.kv;
  const std::int64_t head_dim = kv.head_dim;
  const std::int64_t width = (args.heads + 2 * kv.kv_heads) * head_dim;
  std::vector<float> own(static_cast<std::size_t>(head_dim));
  for (std::int64_t row = 0; row < args.rows; ++row) {
    float* qkv = args.qkv + row * width;
    const bool blended = args.own != nullptr && row >= args.first_summary;
    for (std::int64_t head = 0; head < args.heads + 2 * kv.kv_heads; ++head) {
      float* x = qkv + head * head_dim;
      const bool is_value = head >= args.heads + kv.kv_heads;
      const float* norm = is_value ? nullptr : head < args.heads ? args.q_norm : args.k_norm;
      if (norm != nullptr) normalise(x, norm, x, head_dim, args.epsilon);
      if (blended) {
        std::copy_n(args.own + (row - args.first_summary) * width + head * head_dim, head_dim, own.begin());
        if (norm != nullptr) normalise(own.data(), norm, own.data(), head_dim, args.epsilon);
        blend(x, own.data(), args.mix, head_dim);
      }
      if (is_value) continue;
      const bool is_query = head < args.heads;
      if (float* const sums = args.query_sums; sums != nullptr && is_query) {
        const std::int64_t group = args.heads / kv.kv_heads;
        float* sum = sums + (row * kv.kv_heads + head / group) * head_dim;
        for (std::int64_t d = 0; d < head_dim; ++d) sum[d] = head % group == 0 ? x[d] : sum[d] + x[d];
      }
      if (args.plain_keys != nullptr && !is_query) {
        std::copy_n(x, head_dim, args.plain_keys + (row * kv.kv_heads + head - args.heads) * head_dim);
      }
      rotate(x, args.rotation + row * head_dim, head_dim / 2);
    }
    const std::int64_t slot = args.slots[row];
    if (slot < 0) continue;
    for (std::int64_t head = 0; head < kv.kv_heads; ++head) {
      std::byte* key = kv.key(slot / kv.page_entries, head, slot % kv.page_entries);
      const float* k = qkv + (args.heads + head) * head_dim;
      const float* v = k + kv.kv_heads * head_dim;
      for (std::int64_t d = 0; d < head_dim; ++d) {
        set_element(key, kv.type, d, k[d]);
        set_element(key + kv.value_offset, kv.type, d, v[d]);
      }
    }
  }
}

void ReferenceOps::attention(const AttentionArgs& args) {
  const KvView& kv = args.kv;
  const std::int64_t group = args.heads / kv.kv_heads;
  for (const RowRun& run : args.runs) {
    for (std::int64_t row = run.first_row; row < run.first_row + run.rows; ++row) {
      for (std::int64_t kv_head = 0; kv_head < kv.kv_heads; ++kv_head) {
        const RowBounds& bounds = args.bounds[row];
        const auto entries = visible_entries(args, run, bounds, kv_head);
        const std::int32_t summaries = std::max(bounds.summary.high - bounds.summary.low, 0);
        for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
          const float* q = args.q + row * args.q_stride + head * kv.head_dim;
          const std::int64_t at = (row * args.heads + head) * kv.head_dim;
          const float* summary_q = run.picked && args.picked_q != nullptr ? args.picked_q + at : q;
          attend(q, summary_q, static_cast<std::size_t>(summaries), entries, kv, args.scale, args.out + at);
        }
      }
    }
  }
}

void ReferenceOps::gather(const GatherArgs& args) {
  for (std::int64_t row = 0; row < args.count; ++row) {
    std::copy_n(args.x + args.rows[row] * args.width, args.width, args.y + row * args.width);
  }
}

void ReferenceOps::most_likely(const MostLikelyArgs& args) {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* logits = args.logits + row * args.vocabulary;
    std::int64_t best = -1;
    for (std::int64_t id = 0; id < args.vocabulary; ++id) {
      if (!std::isnan(logits[id]) && (best < 0 || logits[id] > logits[best])) best = id;
    }
    args.ids[row] = static_cast<std::int32_t>(std::max<std::int64_t>(best, 0));
  }
}

void ReferenceOps::draw(const DrawArgs& args) {
  most_likely({args.logits, args.ids, args.rows, args.vocabulary});
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const std::span logits(args.logits + row * args.vocabulary, static_cast<std::size_t>(args.vocabulary));
    draw_row(logits, args.options[row], args.ids[row], args.draws[row]);
  }
}

void ReferenceOps::copy_pages(const CopyPagesArgs& args) {
  for (const PageCopy& copy : args.copies) {
    for (std::int64_t array = 0; array < args.arrays; ++array) {
      std::byte* pages = args.base + array * args.array_bytes;
      std::copy_n(pages + copy.from * args.page_bytes, args.page_bytes, pages + copy.to * args.page_bytes);
    }
  }
}

void ReferenceOps::to_device(void* device, const void* host, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(device, host, static_cast<std::size_t>(bytes));
}

const void* ReferenceOps::on_host(const void* device, std::int64_t) {
  return device;
}

}  // namespace precis::reference
