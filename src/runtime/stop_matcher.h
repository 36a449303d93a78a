// Finds the first of some texts that is complete in a stream, and holds back what may yet become one of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace precis {

class StopMatcher {
 public:
  // Empty texts are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // Adds text; returns what can be shown for certain. Once a stop text was seen, found() is true, what came before it
  // was returned, and the rest is dropped.
  std::string push(std::string_view text);
  // The end of the stream: what was held back.
  std::string finish();

  bool found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace precis
