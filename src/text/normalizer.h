// The `normalizer` of a tokenizer.json: what happens to the text before it is split.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace precis {

// One step: valid UTF-8 in, valid UTF-8 out. Used by any number of threads.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual std::string apply(std::string text) const = 0;
};

class Normalizer {
 public:
  Normalizer() = default;
  // NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip and sequences of them. Throws Error for any other.
  explicit Normalizer(const JsonView& json) { add(json); }

  std::string apply(std::string text) const;
  bool empty() const { return steps_.empty(); }

 private:
  void add(const JsonView& json);

  std::vector<std::shared_ptr<const NormalizerStep>> steps_;
};

}  // namespace precis
