// What the tests of selective attention have in common: the backends, and pools of pages to choose from.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/isa.h"
#include "backend/reference/reference_ops.h"
#include "gpu.h"

namespace precis {

struct SelectBackend {
  std::string name;
  const cpu::Kernels* kernels = nullptr;  // of the CPU
};

inline std::vector<SelectBackend> select_backends() {
  std::vector<SelectBackend> all = {{"reference"}, {"cuda"}};
  for (const cpu::Kernels* kernels : cpu::available_kernels()) all.push_back({kernels->name, kernels});
  return all;
}

class SelectTest : public GpuTest, public testing::WithParamInterface<SelectBackend> {
 protected:
  void SetUp() override {
    if (GetParam().name == "cuda") {
      GpuTest::SetUp();
      selector_ = std::move(GpuTest::ops_);
    } else if (GetParam().kernels == nullptr) {
      selector_ = std::make_unique<reference::ReferenceOps>();
    } else {
      selector_ = std::make_unique<cpu::CpuOps>(*GetParam().kernels, 2);
    }
    ops_ = selector_.get();
  }

  Ops* ops_ = nullptr;

 private:
  std::unique_ptr<Ops> selector_;
};

// A pool of pages with K, V and k' of one layer, all filled with random numbers, tables of some tracks, and room for
// what is picked.
class SelectProblem {
 public:
  SelectProblem(Random& random, DType type, std::int64_t page_entries, std::int64_t dim, std::int64_t head_size = 16)
      : head_dim(head_size), random_(random), page_entries_(page_entries), dim_(dim) {
    const std::int64_t half = kv_heads * page_entries * head_dim * size_of(type);
    kv_ = {.base = nullptr,
           .page_bytes = 2 * half,
           .layer_offset = 0,
           .value_offset = half,
           .page_entries = page_entries,
           .kv_heads = kv_heads,
           .head_dim = head_dim,
           .type = type,
           .short_dim = dim};
    picked_ = kv_;
    picked_.short_dim = 0;
  }

  // Rows of a run and the entries of the track that they choose from.
  void add(std::int64_t rows, std::int64_t initial, std::int64_t top, std::int64_t middle, std::int64_t tail) {
    PickRun run;
    run.first_row = static_cast<std::int32_t>(rows_);
    run.rows = static_cast<std::int32_t>(rows);
    run.initial = static_cast<std::int32_t>(initial);
    run.top = static_cast<std::int32_t>(top);
    run.local = static_cast<std::int32_t>(initial + middle);
    run.end = static_cast<std::int32_t>(initial + middle + tail);
    run.first_page = static_cast<std::int32_t>(picked_pages_);
    run.distance = static_cast<std::int32_t>(random_.between(0, 50));
    picked_pages_ += (run.count() + page_entries_ - 1) / page_entries_;
    rows_ += rows;
    std::vector<std::int32_t>& table = tables_.emplace_back();
    table.resize(static_cast<std::size_t>((run.end + page_entries_ - 1) / page_entries_));
    runs.push_back(run);
    pages_ += static_cast<std::int64_t>(table.size());
  }

  // `apart`: K of all pages before their V, and none of them far; not what is picked.
  void fill(bool apart = false) {
    std::vector<std::int32_t> pages(static_cast<std::size_t>(pages_));
    std::iota(pages.begin(), pages.end(), 0);
    random_.shuffle(pages);
    auto next = pages.begin();
    for (std::size_t run = 0; run < runs.size(); ++run) {
      for (std::int32_t& page : tables_[run]) page = *next++;
      runs[run].track = {tables_[run].data(), 0, static_cast<std::int32_t>(tables_[run].size())};
    }
    // Some of the pages are far: in an order of their own.
    kv_.near_pages = apart || random_.between(0, 2) == 0 ? pages_ : random_.between(0, pages_);
    const std::int64_t far_pages = pages_ - kv_.near_pages;
    const std::int64_t short_bytes = page_entries_ * dim_ * size_of(kv_.short_type());
    pool_.resize(static_cast<std::size_t>(std::max<std::int64_t>(kv_.near_pages * kv_.page_bytes, 1)));
    if (apart) {
      kv_.page_bytes /= 2;
      kv_.value_offset *= pages_;
    }
    near_short_.resize(static_cast<std::size_t>(std::max<std::int64_t>(kv_.near_pages * short_bytes, 1)));
    far_.resize(static_cast<std::size_t>(std::max<std::int64_t>(far_pages * kv_.page_bytes, 1)));
    short_keys_.resize(static_cast<std::size_t>(std::max<std::int64_t>(far_pages * short_bytes, 1)));
    kv_.near_short = near_short_.data();
    kv_.far_base = far_.data();
    kv_.short_base = short_keys_.data();
    picks_.resize(static_cast<std::size_t>(picked_pages_ * picked_.page_bytes));
    list.resize(static_cast<std::size_t>(picked_pages_ * page_entries_), -1);
    kv_.base = pool_.data();
    picked_.base = picks_.data();
    for (std::int64_t page = 0; page < pages_; ++page) {
      for (std::int64_t entry = 0; entry < page_entries_; ++entry) fill_entry(page, entry);
    }
    q.resize(static_cast<std::size_t>(rows_ * dim_));
    for (float& value : q) value = whole();
  }

  // Whole numbers: sums are exact, in any order, and often equal.
  float whole() { return static_cast<float>(random_.between(-3, 3)); }

  const KvView& kv() const { return kv_; }
  const KvView& picked() const { return picked_; }
  std::int64_t rows() const { return rows_; }

  const std::byte* entry_of(const PickRun& run, std::int64_t entry, std::int64_t head) const {
    return kv_.key(run.track.pages[entry / page_entries_], head, entry % page_entries_);
  }
  double short_number(const PickRun& run, std::int64_t entry, std::int64_t d) const {
    const std::byte* key = kv_.short_key(run.track.pages[entry / page_entries_], entry % page_entries_);
    return stored(key + d * size_of(kv_.short_type()), kv_.short_type());
  }
  std::span<const std::int32_t> listed(const PickRun& run) const {
    return {list.data() + run.first_page * page_entries_, static_cast<std::size_t>(run.count())};
  }
  std::byte* picked_entry(const PickRun& run, std::int64_t index, std::int64_t head) const {
    const std::int64_t at = run.first_page * page_entries_ + index;
    return picked_.key(at / page_entries_, head, at % page_entries_);
  }

  static constexpr std::int64_t kv_heads = 2;
  const std::int64_t head_dim;
  std::vector<PickRun> runs;
  std::vector<float> q;
  std::vector<std::int32_t> list;

 private:
  void fill_entry(std::int64_t page, std::int64_t entry) {
    for (std::int64_t d = 0; d < dim_; ++d) {
      put(kv_.short_key(page, entry) + d * size_of(kv_.short_type()), kv_.short_type(), whole());
    }
    for (std::int64_t head = 0; head < kv_heads; ++head) {
      std::byte* key = kv_.key(page, head, entry);
      for (std::int64_t d = 0; d < head_dim; ++d) {
        put(key + d * size_of(kv_.type), kv_.type, random_.normal());
        put(key + kv_.value_offset + d * size_of(kv_.type), kv_.type, random_.normal());
      }
    }
  }

  Random& random_;
  std::int64_t page_entries_;
  std::int64_t dim_;
  KvView kv_;
  KvView picked_;
  std::int64_t rows_ = 0;
  std::int64_t pages_ = 0;
  std::int64_t picked_pages_ = 0;
  std::vector<std::vector<std::int32_t>> tables_;
  std::vector<std::byte> pool_;
  std::vector<std::byte> near_short_;
  std::vector<std::byte> far_;
  std::vector<std::byte> short_keys_;
  std::vector<std::byte> picks_;
};

}  // namespace precis
