// A model computed in doubles straight from the words of KSA.md and docs/esa.md: every row attends, one softmax, to a
// list of rows. No cache, no tracks, no steps; a few hundred tokens.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "esa/esa_file.h"
#include "families/families.h"
#include "model/positions.h"
#include "model/rope.h"

namespace precis::test {

class DirectModel {
 public:
  explicit DirectModel(const std::filesystem::path& folder)
      : checkpoint_(Folder(folder)),
        spec_(read_model_spec(checkpoint_)),
        frequencies_(make_rope_table(spec_.rope, spec_.head_dim).frequencies),
        esa_(read_esa_file(folder / esa_file_name,
                           {spec_.layers, spec_.kv_heads * spec_.head_dim, model_hash(checkpoint_)}, 0)) {}

  const ModelSpec& spec() const { return spec_; }

  // Logits after every id, read in pieces of `piece`.
  std::vector<std::vector<double>> logits(const std::vector<std::int32_t>& ids, const EsaRule& esa,
                                          std::int64_t piece) {
    rule_ = esa;
    piece_ = piece;
    texts_ = static_cast<std::int64_t>(ids.size());
    summaries_ = spec_.chunk.complete(texts_) * spec_.chunk.summary;
    const Matrix embedding = matrix("model.embed_tokens.weight");
    x_.clear();
    for (std::int64_t row = 0; row < rows(); ++row) {
      const std::int64_t id = row < texts_ ? ids[static_cast<std::size_t>(row)]
                                           : spec_.summary->first_id + (row - texts_) % spec_.chunk.summary;
      const auto from = embedding.values.begin() + id * spec_.hidden;
      x_.emplace_back(from, from + spec_.hidden);
    }
    for (std::int64_t layer = 0; layer < spec_.layers; ++layer) compute(layer);
    const std::vector<double> norm = matrix("model.norm.weight").values;
    std::vector<std::vector<double>> logits;
    for (std::int64_t row = 0; row < texts_; ++row) {
      logits.push_back(product(embedding, normed(x_[static_cast<std::size_t>(row)], norm)));
      logits.back().resize(static_cast<std::size_t>(spec_.vocabulary));
    }
    return logits;
  }

 private:
  using Row = std::vector<double>;
  struct Matrix {
    Row values;
    std::int64_t inputs;
  };

  std::int64_t rows() const { return texts_ + summaries_; }

  Matrix matrix(const std::string& name) {
    const HostTensor tensor = checkpoint_.tensor(name);
    const std::vector<float> floats = to_floats(name, tensor.view);
    return {{floats.begin(), floats.end()}, tensor.view.shape.back()};
  }

  static Row product(const Matrix& matrix, const Row& x) {
    Row y;
    for (std::size_t at = 0; at < matrix.values.size(); at += x.size()) {
      y.push_back(std::inner_product(x.begin(), x.end(), matrix.values.begin() + static_cast<std::ptrdiff_t>(at), 0.0));
    }
    return y;
  }

  Row normed(const Row& x, const Row& weight) const {
    const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
    const double root = std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(spec_.epsilon));
    Row y;
    for (std::size_t i = 0; i < x.size(); ++i) y.push_back(x[i] / root * weight[i]);
    return y;
  }

  void norm_heads(Row& x, const Row& weight) const {
    const auto size = static_cast<std::ptrdiff_t>(spec_.head_dim);
    for (auto head = x.begin(); head != x.end(); head += size) {
      const Row one = normed(Row(head, head + size), weight);
      std::copy(one.begin(), one.end(), head);
    }
  }

  // A head of x at a position.
  Row turned(const Row& x, std::int64_t head, std::int64_t position) const {
    const auto half = static_cast<std::size_t>(spec_.head_dim / 2);
    const auto first = static_cast<std::size_t>(head * spec_.head_dim);
    Row y(2 * half);
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(position) * frequencies_[i];
      const double a = x[first + i];
      const double b = x[first + half + i];
      y[i] = a * std::cos(angle) - b * std::sin(angle);
      y[half + i] = b * std::cos(angle) + a * std::sin(angle);
    }
    return y;
  }

  std::int64_t position(std::int64_t row) const {
    if (row < texts_) return text_position(spec_, row);
    const std::int64_t summary = row - texts_;
    return summary_position(spec_, summary / spec_.chunk.summary, summary % spec_.chunk.summary);
  }

  // A row that is seen, where, and from where.
  struct Seen {
    std::int64_t row;
    std::int64_t position;
    std::int64_t query_position;
  };

  // Entries [0, before) of texts or summaries that a piece chooses from; all that its rows see of them.
  std::vector<Seen> far(const std::vector<Row>& q, const std::vector<Row>& k, std::int64_t layer, std::int64_t from,
                        std::int64_t to, std::int64_t row, std::int64_t first, std::int64_t before) const {
    std::vector<Seen> seen;
    const auto add = [&](std::int64_t entry, std::optional<std::int64_t> at = {}) {
      seen.push_back({first + entry, at ? *at : position(first + entry), position(row)});
    };
    const std::int64_t middle_end = before - rule_->local;
    if (before <= rule_->all()) {
      for (std::int64_t entry = 0; entry < before; ++entry) add(entry);
      return seen;
    }
    const std::int64_t picked = rule_->initial + rule_->top;
    const auto place = [&](std::int64_t entry) {
      const auto index = static_cast<std::int64_t>(seen.size());
      switch (rule_->positions) {
        case EsaPositions::absolute:
          return add(entry);
        case EsaPositions::packed:
          return add(entry, position(first + middle_end - picked + index));
        case EsaPositions::fixed:
          add(entry, 0);
          seen.back().query_position = rule_->local;
      }
    };
    for (std::int64_t entry = 0; entry < rule_->initial; ++entry) place(entry);
    for (const std::int64_t entry : chosen(q, k, layer, from, to, first, middle_end)) place(entry);
    for (std::int64_t entry = middle_end; entry < before; ++entry) add(entry);
    return seen;
  }

  std::vector<std::int64_t> chosen(const std::vector<Row>& q, const std::vector<Row>& k, std::int64_t layer,
                                   std::int64_t from, std::int64_t to, std::int64_t first, std::int64_t end) const {
    const EsaLayer& of = esa_.layers[static_cast<std::size_t>(layer)];
    const Matrix a{{of.q.begin(), of.q.end()}, esa_.length};
    const Matrix b{{of.k.begin(), of.k.end()}, esa_.length};
    std::vector<Row> keys;
    for (std::int64_t entry = rule_->initial; entry < end; ++entry) {
      keys.push_back(product(b, k[static_cast<std::size_t>(first + entry)]));
    }
    Row best(keys.size(), -INFINITY);
    for (std::int64_t row = from; row < to; ++row) {
      const auto width = static_cast<std::size_t>(spec_.head_dim);
      Row sums(static_cast<std::size_t>(esa_.length));
      for (std::size_t i = 0; i < q[static_cast<std::size_t>(row)].size(); ++i) {
        const auto group = static_cast<std::size_t>(spec_.group_heads());
        sums[i / width / group * width + i % width] += q[static_cast<std::size_t>(row)][i];
      }
      const Row query = product(a, sums);
      Row f;
      for (const Row& key : keys) f.push_back(std::inner_product(key.begin(), key.end(), query.begin(), 0.0));
      const double most = *std::max_element(f.begin(), f.end());
      for (std::size_t i = 0; i < f.size(); ++i) best[i] = std::max(best[i], f[i] - most);
    }
    std::vector<std::pair<double, std::int64_t>> order;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(best.size()); ++i) {
      const auto low = best.begin() + std::max<std::int64_t>(0, i - rule_->proximity);
      const auto high = best.begin() + std::min(static_cast<std::int64_t>(best.size()), i + rule_->proximity + 1);
      order.emplace_back(-*std::max_element(low, high), rule_->initial + i);
    }
    std::sort(order.begin(), order.end());
    std::vector<std::int64_t> entries;
    for (std::int64_t i = 0; i < rule_->top; ++i) entries.push_back(order[static_cast<std::size_t>(i)].second);
    std::sort(entries.begin(), entries.end());
    return entries;
  }

  std::vector<Seen> seen_by(std::int64_t row, const LayerRule& rule, const std::vector<Row>& q,
                            const std::vector<Row>& k, std::int64_t layer) const {
    std::vector<Seen> seen;
    const ChunkShape& chunk = spec_.chunk;
    const auto add = [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t other = from; other < to; ++other) seen.push_back({other, position(other), position(row)});
    };
    if (row >= texts_) {
      const std::int64_t of = (row - texts_) / chunk.summary;
      add(of * chunk.text, (of + 1) * chunk.text);
      add(texts_ + of * chunk.summary, row + 1);
      return seen;
    }
    const std::int64_t from = row / piece_ * piece_;
    const std::int64_t to = std::min(from + piece_, texts_);
    if (rule.sight == Sight::full) {
      seen = far(q, k, layer, from, to, row, 0, from);
      add(from, row + 1);
      return seen;
    }
    const auto chunks_before = [&](std::int64_t text) {
      return std::max<std::int64_t>(0, text / chunk.text - rule.window);
    };
    const std::int64_t first = chunks_before(from) * chunk.summary;
    if (rule_->summaries) {
      seen = far(q, k, layer, from, to, row, texts_, first);
    } else {
      add(texts_, texts_ + first);
    }
    add(texts_ + first, texts_ + chunks_before(row) * chunk.summary);
    add(chunks_before(row) * chunk.text, row + 1);
    return seen;
  }

  Row attended(std::int64_t row, const LayerRule& rule, const std::vector<Row>& q, const std::vector<Row>& k,
               const std::vector<Row>& v, std::int64_t layer) const {
    const std::vector<Seen> seen = seen_by(row, rule, q, k, layer);
    Row out;
    for (std::int64_t head = 0; head < spec_.heads; ++head) {
      const std::int64_t kv_head = head / spec_.group_heads();
      Row scores;
      for (const Seen& of : seen) {
        const Row query = turned(q[static_cast<std::size_t>(row)], head, of.query_position);
        const Row key = turned(k[static_cast<std::size_t>(of.row)], kv_head, of.position);
        scores.push_back(std::inner_product(query.begin(), query.end(), key.begin(), 0.0) /
                         std::sqrt(static_cast<double>(spec_.head_dim)));
      }
      const double most = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      Row sum(static_cast<std::size_t>(spec_.head_dim));
      for (std::size_t i = 0; i < seen.size(); ++i) {
        const double weight = std::exp(scores[i] - most);
        total += weight;
        const Row& value = v[static_cast<std::size_t>(seen[i].row)];
        for (std::size_t d = 0; d < sum.size(); ++d) {
          sum[d] += weight * value[static_cast<std::size_t>(kv_head * spec_.head_dim) + d];
        }
      }
      for (const double value : sum) out.push_back(value / total);
    }
    return out;
  }

  void compute(std::int64_t layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    const std::string self = at + "self_attn.";
    const Row norm = matrix(at + "input_layernorm.weight").values;
    std::vector<Row> q;
    std::vector<Row> k;
    std::vector<Row> v;
    for (const bool summary : {false, true}) {
      if (summary && summaries_ == 0) continue;
      const std::string end = summary ? "_proj_summary.weight" : "_proj.weight";
      const Matrix wq = matrix(self + "q" + end);
      const Matrix wk = matrix(self + "k" + end);
      const Matrix wv = matrix(self + "v" + end);
      for (std::int64_t row = summary ? texts_ : 0; row < (summary ? rows() : texts_); ++row) {
        const Row x = normed(x_[static_cast<std::size_t>(row)], norm);
        q.push_back(product(wq, x));
        k.push_back(product(wk, x));
        v.push_back(product(wv, x));
        if (!spec_.qk_norm) continue;
        norm_heads(q.back(), matrix(self + "q_norm.weight").values);
        norm_heads(k.back(), matrix(self + "k_norm.weight").values);
      }
    }
    const LayerRule& rule = spec_.rules[static_cast<std::size_t>(spec_.rule_of_layer[static_cast<std::size_t>(layer)])];
    const Matrix output = matrix(self + "o_proj.weight");
    const Matrix gate = matrix(at + "mlp.gate_proj.weight");
    const Matrix up = matrix(at + "mlp.up_proj.weight");
    const Matrix down = matrix(at + "mlp.down_proj.weight");
    const Row post = matrix(at + "post_attention_layernorm.weight").values;
    for (std::int64_t row = 0; row < rows(); ++row) {
      Row& x = x_[static_cast<std::size_t>(row)];
      add(x, product(output, attended(row, rule, q, k, v, layer)));
      const Row inner = normed(x, post);
      Row gated = product(gate, inner);
      const Row ups = product(up, inner);
      for (std::size_t i = 0; i < gated.size(); ++i) gated[i] = gated[i] / (1 + std::exp(-gated[i])) * ups[i];
      add(x, product(down, gated));
    }
  }

  static void add(Row& x, const Row& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  Checkpoint checkpoint_;
  ModelSpec spec_;
  std::vector<float> frequencies_;
  EsaCalibration esa_;
  std::optional<EsaRule> rule_;
  std::int64_t piece_ = 1;
  std::int64_t texts_ = 0;
  std::int64_t summaries_ = 0;
  std::vector<Row> x_;  // the residual stream: text rows, then summary rows
};

}  // namespace precis::test
