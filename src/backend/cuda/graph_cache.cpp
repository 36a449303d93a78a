#include "backend/cuda/graph_cache.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/check.h"

namespace precis::cuda {
namespace {

// Graphs kept: every number of sequences, with and without rows of summaries, at a few table sizes, for both places
// that steps leave their results at in turn. One takes about a megabyte.
constexpr std::size_t most_entries = 512;

}  // namespace

GraphCache::Entry& GraphCache::entry_of(std::span<const std::int64_t> key) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return std::ranges::equal(entry.key, key); });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
  } else {
    entries_.push_front({.key = {key.begin(), key.end()}, .seen = false, .graph = nullptr});
    if (entries_.size() > most_entries) entries_.pop_back();
  }
  return entries_.front();
}

std::shared_ptr<CUgraphExec_st> GraphCache::record(const std::function<void()>& work) const {
  check(cudaStreamBeginCapture(stream_->get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t captured = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream_->get(), &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream_->get(), &captured), "cudaStreamEndCapture");
  const std::shared_ptr<CUgraph_st> graph(captured, cudaGraphDestroy);
  cudaGraphExec_t made = nullptr;
  check(cudaGraphInstantiate(&made, captured, 0), "cudaGraphInstantiate");
  return {made, cudaGraphExecDestroy};
}

void GraphCache::repeat(std::span<const std::int64_t> key, const std::function<std::int64_t()>& memory,
                        const std::function<void()>& work) {
  forget_moved(memory());
  Entry& entry = entry_of(key);
  if (!entry.seen) {
    work();
    entry.seen = true;
    forget_moved(memory());
    return;
  }
  if (entry.graph == nullptr) entry.graph = record(work);
  check(cudaGraphLaunch(entry.graph.get(), stream_->get()), "cudaGraphLaunch");
}

void GraphCache::forget_moved(std::int64_t memory) {
  if (std::exchange(memory_, memory) == memory) return;
  for (Entry& entry : entries_) entry.graph.reset();
}

}  // namespace precis::cuda
