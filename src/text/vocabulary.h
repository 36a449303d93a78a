// The texts of a vocabulary by id, and the ids by text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// Greatest id that a tokenizer file may name: far above any vocabulary, and small enough to size tables by.
inline constexpr std::int64_t greatest_token_id = (1 << 22) - 1;

// Built once, then read by any number of threads. Texts are kept in one block.
class Vocabulary {
 public:
  // Room for ids below `ids`, and for lookups of `texts` texts.
  Vocabulary(std::size_t ids, std::size_t texts);

  // Gives `id` (below `ids`) its text. False when the id has one already.
  bool set(std::int32_t id, std::string_view text);
  // Makes `id` (which has its text) what find() gives for it; the first of several ids of equal text wins.
  void make_findable(std::int32_t id);

  bool has(std::int32_t id) const {
    return id >= 0 && id < size() && spans_[static_cast<std::size_t>(id)].begin != absent;
  }
  // Empty for an id without text.
  std::string_view text(std::int32_t id) const;
  std::optional<std::int32_t> find(std::string_view text) const;
  // One past the greatest id that has room here.
  std::int32_t size() const { return static_cast<std::int32_t>(spans_.size()); }

 private:
  static constexpr std::uint64_t absent = ~std::uint64_t{0};
  struct Span {
    std::uint64_t begin = absent;
    std::uint64_t length = 0;
  };

  std::size_t place_of(std::string_view text) const;

  std::string block_;
  std::vector<Span> spans_;          // by id
  std::vector<std::int32_t> slots_;  // ids by hash of text, linear probing, -1 empty, at most half full
};

}  // namespace precis
