// A map from 64-bit keys to 64-bit values for tables that are built once and then only read: one array, linear probing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace precis {

// Any number of threads may read; the key ~0 is not available.
class FlatMap {
 public:
  // Room for `count` entries without growing.
  void reserve(std::size_t count) {
    if (count * 2 > slots_.size()) resize(std::bit_ceil(count * 2));
  }

  // The value of `key`; of a new key it is `value`.
  std::uint64_t& at_or(std::uint64_t key, std::uint64_t value) {
    if ((size_ + 1) * 2 > slots_.size()) resize(slots_.empty() ? 16 : slots_.size() * 2);
    Slot& slot = slots_[place_of(key)];
    if (slot.key != key) {
      slot = {key, value};
      ++size_;
    }
    return slot.value;
  }

  const std::uint64_t* find(std::uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place_of(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint64_t no_key = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = no_key;
    std::uint64_t value = 0;
  };

  // The slot of `key`, or the empty one where it would go. Half the slots are empty, so the walk is short.
  std::size_t place_of(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t place = static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> shift_);
    while (slots_[place].key != key && slots_[place].key != no_key) place = (place + 1) & mask;
    return place;
  }

  void resize(std::size_t capacity) {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(capacity));
    shift_ = 64 - std::countr_zero(capacity);
    for (const Slot& slot : old) {
      if (slot.key != no_key) slots_[place_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  int shift_ = 64;
};

}  // namespace precis
