#include "backend/cpu/weights_ahead.h"

#include <algorithm>

namespace precis::cpu {
namespace {

constexpr std::int64_t line_bytes = 64;
// Of each stream, in a bit: with four streams as much as memory gives a core in less than 0.1 us.
constexpr std::int64_t bit_bytes = 256;
// Of each stream, in all: what is read in a wait of about 8 us, and a small part of the cache.
constexpr std::int64_t most_bytes = 24 << 10;

}  // namespace

WeightsAhead::Product& WeightsAhead::begin(const std::byte* weights, int workers) {
  Product& product = products_[weights];
  if (product.first.empty()) product.first.resize(static_cast<std::size_t>(workers));
  if (last_ != nullptr) last_->following = &product;
  last_ = &product;
  return product;
}

bool WeightsAhead::fetch(const Product& product, int worker, int bit) {
  const FirstWeights& first = product.first[static_cast<std::size_t>(worker)];
  const std::int64_t from = bit * bit_bytes;
  const std::int64_t end = std::min(most_bytes, first.stream_values);
  if (first.values == nullptr || from >= end) return false;
  for (std::int64_t stream = 0; stream < first.streams; ++stream) {
    const std::byte* values = first.values + stream * first.stream_values + from;
    for (std::int64_t at = 0; at < bit_bytes; at += line_bytes) __builtin_prefetch(values + at, 0, 2);
    if (first.scales == nullptr) continue;
    const std::int64_t scale = from * first.stream_scales / first.stream_values;
    __builtin_prefetch(first.scales + stream * first.stream_scales + scale, 0, 2);
  }
  return true;
}

}  // namespace precis::cpu
