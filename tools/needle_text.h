// A text cut where facts can be planted: behind sentences and lines.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "needle_fact.h"

namespace precis {

struct PlantedFact {
  Fact fact;
  double asked_depth = 0;  // percent of the text's bytes that shall stand before it
  double depth = 0;        // that do
};

// Texts one behind the other, again and again: a stretch of it may begin anywhere.
class NeedleText {
 public:
  explicit NeedleText(const std::vector<std::string>& texts);

  // Sentences and lines, with the white space behind them.
  std::size_t pieces() const { return ends_.size(); }
  const std::string& all() const { return text_; }

  // `count` pieces from `first` on, with the facts, each on a line of its own, at the ends of pieces that are nearest
  // to their asked depths; sets their `depth`. 0 %: before the first piece. count in [1, pieces()].
  std::string plant(std::size_t first, std::size_t count, std::vector<PlantedFact>& facts) const;

  // The most pieces from `first` on whose measure is at most `room`; 0: not even one piece's is. `measure(count)` grows
  // with the count, nearly in proportion to the bytes.
  std::size_t longest(std::size_t first, std::int64_t room,
                      const std::function<std::int64_t(std::size_t count)>& measure) const;

 private:
  std::string_view piece(std::size_t index) const;
  std::size_t bytes(std::size_t first, std::size_t count) const;

  std::string text_;
  std::vector<std::size_t> ends_;  // of pieces, in text_
};

}  // namespace precis
