// Text that knows of each byte who wrote it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace precis::jinja {

// UTF-8 whose bytes are trusted (the template's own, a model's special tokens) or not (what users wrote). Whatever is
// made of it by append() and slice() keeps the mark of each byte.
class MarkedText {
 public:
  struct Run {
    std::size_t end = 0;  // one past its last byte
    bool trusted = false;
  };

  MarkedText() = default;
  MarkedText(std::string bytes, bool trusted);

  std::string_view bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // From the first byte to the last; neighbours differ.
  const std::vector<Run>& runs() const { return runs_; }
  bool trusted_at(std::size_t byte) const;

  void append(std::string_view bytes, bool trusted);
  void append(const MarkedText& text) { append(text, 0, text.size()); }
  // Bytes [from, to) of `text`, which is another one.
  void append(const MarkedText& text, std::size_t from, std::size_t to);
  MarkedText slice(std::size_t from, std::size_t to) const;

 private:
  std::size_t run_of(std::size_t byte) const;

  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace precis::jinja
