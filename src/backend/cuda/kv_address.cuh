// Where a page of the cache lies, near or far: KvView's addresses, on the device.
#pragma once

#include "device/attention_args.h"

namespace precis::cuda {

// A layer's K of a page. Far memory is the host's, read and written from here.
__device__ inline std::byte* page_keys(const KvView& kv, std::int64_t page) {
  return page < kv.near_pages ? kv.base + kv.layer_offset + page * kv.page_bytes
                              : kv.far_base + (page - kv.near_pages) * kv.page_bytes;
}

// An entry's k', in elements of the type that they are kept as.
template <typename Element>
__device__ inline Element* short_key(const KvView& kv, std::int64_t page, int in_page) {
  const bool is_near = page < kv.near_pages;
  auto* of_layer = reinterpret_cast<Element*>(is_near ? kv.near_short : kv.short_base);
  return of_layer + ((is_near ? page : page - kv.near_pages) * kv.page_entries + in_page) * kv.short_dim;
}

}  // namespace precis::cuda
