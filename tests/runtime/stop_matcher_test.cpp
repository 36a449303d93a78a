// The stop matcher, fed in pieces of any size, against a naive look at the whole text.
#include "runtime/stop_matcher.h"

#include <gtest/gtest.h>

#include <optional>

#include "support/random.h"

namespace precis::test {
namespace {

using Stops = std::vector<std::string>;

std::string random_text(Random& random, std::int64_t length, char last) {
  std::string text;
  for (std::int64_t i = 0; i < length; ++i) text += static_cast<char>(random.between('a', last));
  return text;
}

// What comes before the stop text that is complete first; of several that end together, before the longest.
std::optional<std::string> before_stop(const std::string& text, const Stops& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return std::nullopt;
}

// The longest end of `text` that begins a stop text and is not the whole of it.
std::size_t may_yet_stop(const std::string& text, const Stops& stops) {
  for (std::size_t length = text.size(); length > 0; --length) {
    for (const std::string& stop : stops) {
      if (length < stop.size() && stop.starts_with(text.substr(text.size() - length))) return length;
    }
  }
  return 0;
}

void compare(Random& random) {
  const char last = random.chance(0.5) ? 'b' : 'c';
  Stops stops;
  for (std::int64_t i = random.between(0, 4); i > 0; --i)
    stops.push_back(random_text(random, random.between(1, 5), last));
  const std::string text = random_text(random, random.between(0, 40), last);
  StopMatcher matcher(stops);
  std::string fed;
  std::string shown;
  while (fed.size() < text.size() && !matcher.found()) {
    const std::string piece = text.substr(fed.size(), static_cast<std::size_t>(random.between(0, 7)));
    fed += piece;
    shown += matcher.push(piece);
    const std::optional<std::string> before = before_stop(fed, stops);
    ASSERT_EQ(matcher.found(), before.has_value()) << fed;
    // Shown at once is all that no stop text can begin in, and nothing else.
    ASSERT_EQ(shown, before ? *before : fed.substr(0, fed.size() - may_yet_stop(fed, stops))) << fed;
  }
  if (matcher.found()) {
    EXPECT_EQ(matcher.push("a"), "");
    EXPECT_EQ(matcher.push(stops[0]), "");
    EXPECT_EQ(matcher.finish(), "");
  } else {
    shown += matcher.finish();
  }
  ASSERT_EQ(shown, before_stop(text, stops).value_or(text));
}

TEST(StopMatcherTest, SplitTextsStopWhereTheWholeTextDoes) {
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    compare(random);
    if (HasFatalFailure()) return;
  }
}

TEST(StopMatcherTest, WithoutStopsAllIsShownAtOnce) {
  StopMatcher none({});
  EXPECT_EQ(none.push("abc"), "abc");
  StopMatcher empty({"", ""});
  EXPECT_EQ(empty.push("abc"), "abc");
  EXPECT_FALSE(empty.found());
  EXPECT_EQ(empty.finish(), "");
}

TEST(StopMatcherTest, HeldTextIsShownWhenTheStreamEnds) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.push("Hello.\n"), "Hello.");
  EXPECT_EQ(matcher.push("\nUs"), "");
  EXPECT_EQ(matcher.push("ual"), "\n\nUsual");
  EXPECT_EQ(matcher.push("\n"), "");
  EXPECT_EQ(matcher.finish(), "\n");
  EXPECT_EQ(matcher.finish(), "");
}

// The text is the same however it is cut: "ab" is complete before "abc" and before "xabc" can be.
TEST(StopMatcherTest, TheStopThatIsCompleteFirstCounts) {
  for (const Stops& stops : {Stops{"xabc", "ab"}, Stops{"ab", "xabc"}}) {
    StopMatcher whole(stops);
    EXPECT_EQ(whole.push("..xabc"), "..x");
    StopMatcher bytes(stops);
    std::string shown;
    for (const char byte : std::string("..xab")) shown += bytes.push(std::string(1, byte));
    EXPECT_TRUE(bytes.found());
    EXPECT_EQ(shown, "..x");
  }
}

TEST(StopMatcherTest, OfStopsThatEndTogetherTheLongestCounts) {
  StopMatcher matcher({"b", "ab"});
  EXPECT_EQ(matcher.push("xa"), "x");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_TRUE(matcher.found());
}

TEST(StopMatcherTest, LongTextsTakeLinearTime) {
  StopMatcher matcher({std::string(50, 'a') + "b"});
  std::size_t shown = 0;
  for (int i = 0; i < 20'000; ++i) shown += matcher.push("aaaa").size();
  EXPECT_EQ(shown, 80'000U - 50U);
}

}  // namespace
}  // namespace precis::test
