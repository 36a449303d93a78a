// A window of text as one step of a decoder: a sequence of its own, read from its first id to its last.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/kv_geometry.h"
#include "kv/page_pool.h"
#include "model/model_spec.h"
#include "runtime/step_builder.h"

namespace precis {

// Entries a page of K and V.
constexpr std::int64_t window_page = 16;

// Rows of a window of `tokens` text tokens: these, then the summary tokens of its complete chunks.
std::int64_t window_rows(const ModelSpec& spec, std::int64_t tokens);
// Pages of one group of layers that hold K and V of all these rows.
std::int64_t window_pages(const ModelSpec& spec, std::int64_t tokens);

class WindowStep {
 public:
  // Takes pages from `pages`, which has window_pages() free for each of the geometry's groups, and gives them back at
  // its end. All others outlive it. Logits of no row are wanted.
  WindowStep(const ModelSpec& spec, const KvGeometry& geometry, PagePool& pages, std::vector<std::int32_t> ids);
  WindowStep(const WindowStep&) = delete;
  WindowStep& operator=(const WindowStep&) = delete;

  StepInputs& inputs() { return step_.inputs; }

 private:
  Sequence sequence_;
  Step step_;
};

}  // namespace precis
