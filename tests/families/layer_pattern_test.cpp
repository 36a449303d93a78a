#include "families/layer_pattern.h"

#include <nlohmann/json.hpp>

#include "checkpoint/hand_made.h"

namespace precis {
namespace {

using List = std::vector<std::int64_t>;

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump();
}

// `value` is JSON text.
List pattern(const std::string& value, std::int64_t layers) {
  const JsonView config = JsonView::parse(R"({"summary_sliding_chunk_num": )" + value + "}", "config.json");
  return read_layer_pattern(config.at("summary_sliding_chunk_num"), layers);
}

TEST(LayerPattern, IsWhatPythonMakesOfIt) {
  EXPECT_EQ(pattern("3", 4), (List{3, 3, 3, 3}));
  EXPECT_EQ(pattern("[1, 2, 3]", 3), (List{1, 2, 3}));
  EXPECT_EQ(pattern(quoted("([2]*3+[64]*1)*1"), 4), (List{2, 2, 2, 64}));
  EXPECT_EQ(pattern(quoted("([32]*3+[4096]*1)*3"), 12), (List{32, 32, 32, 4096, 32, 32, 32, 4096, 32, 32, 32, 4096}));
  EXPECT_EQ(pattern(quoted("[0]*4"), 4), (List{0, 0, 0, 0}));
  EXPECT_EQ(pattern(quoted("4*[0]"), 4), (List{0, 0, 0, 0}));
  EXPECT_EQ(pattern(quoted("2*[1]*2"), 4), (List{1, 1, 1, 1}));
  EXPECT_EQ(pattern(quoted(" [ 1 , 2 ] + [ 3 , ] "), 3), (List{1, 2, 3}));
  EXPECT_EQ(pattern(quoted("[1]+[2]*2"), 3), (List{1, 2, 2}));
  EXPECT_EQ(pattern(quoted("([1]+[2])*2"), 4), (List{1, 2, 1, 2}));
  EXPECT_EQ(pattern(quoted("((([7])))*(1+1)"), 2), (List{7, 7}));
  EXPECT_EQ(pattern(quoted("[2*3+1, (4)]"), 2), (List{7, 4}));
  EXPECT_EQ(pattern(quoted("[]+[1]*0+[5]"), 1), (List{5}));
  EXPECT_EQ(pattern(quoted("[]*2147483647+[5]"), 1), (List{5}));
  EXPECT_EQ(pattern(quoted("2+3*4"), 2), (List{14, 14}));
  EXPECT_EQ(pattern(quoted("8"), 2), (List{8, 8}));
  EXPECT_EQ(pattern(quoted("[2147483647]"), 1), (List{2147483647}));
  EXPECT_EQ(pattern(quoted("[1]*4096"), 4096).size(), 4096U);
}

TEST(LayerPattern, RefusesWhatIsNoPattern) {
  const std::string deep = std::string(10'000, '(') + "[1]" + std::string(10'000, ')');
  const std::string deep_lists = std::string(40, '[') + std::string(40, ']');
  const std::vector<std::pair<std::string, std::string>> bad = {
      {quoted(""), "expected a number"},
      {quoted("   "), "expected a number"},
      {quoted("([1]*3"), "')'"},
      {quoted("[1]*3)"), "the end"},
      {quoted("[1"), "']'"},
      {quoted("[1,,2]"), "expected a number"},
      {quoted("[,]"), "expected a number"},
      {quoted("[1 2]"), "']'"},
      {quoted("[1][2]"), "the end"},
      {quoted("[1]*"), "expected a number"},
      {quoted("[1]**2"), "expected a number"},
      {quoted("+[1]"), "expected a number"},
      {quoted("[-1]*3"), "expected a number"},
      {quoted("[1]*-3"), "expected a number"},
      {quoted("[1]-[1]"), "the end"},
      {quoted("[1.5]*3"), "']'"},
      {quoted("[a]*3"), "expected a number"},
      {quoted("__import__('os')"), "expected a number"},
      {quoted("[1]*3\n"), "the end"},
      {quoted(std::string("[1]*3\0]", 7)), "the end"},
      {quoted("([1],)*3"), "')'"},
      {quoted("[[1]]*3"), "a list in a list"},
      {quoted("[1]*[3]"), "a list times a list"},
      {quoted("[1]+3"), "a list plus a number"},
      {quoted("3+[1]"), "a list plus a number"},
      {quoted("[1]*99999999"), "99999999 entries"},
      {quoted("[1]*4097"), "4097 entries"},
      {quoted("[1]*4097*0+[1]*3"), "4097 entries"},
      {quoted("[1]*4096+[1]"), "4097 entries"},
      {quoted("[1,1]*2049"), "4098 entries"},
      {quoted("[1,1]*(2147483647*2147483647*2147483647)"), "too large"},
      {quoted("[99999999999999999999]*3"), "too large"},
      {quoted("[2147483648]*3"), "too large"},
      {quoted("2147483647+1"), "too large"},
      {quoted("[1]*2"), "expected 3 entries, one per layer, but it has 2"},
      {quoted("[1]*4"), "expected 3 entries, one per layer, but it has 4"},
      {quoted("[]"), "but it has 0"},
      {quoted("()"), "expected a number"},
      {quoted(deep), "nested deeper"},
      {quoted(deep_lists), "nested deeper"},
      {quoted(std::string(70'000, ' ')), "characters"},
      {"[1, 2]", "but it has 2"},
      {"[1, 2, -3]", "[2]"},
      {"[1, 2, true]", "[2]"},
      {"[1, 2, [3]]", "[2]"},
      {"[1, 2, \"3\"]", "[2]"},
      {"-1", "an integer"},
      {"1.5", "an integer"},
      {"true", "an integer"},
      {"{}", "an integer"},
      {"null", "an integer"},
  };
  for (const auto& [value, part] : bad) {
    SCOPED_TRACE(value.substr(0, 100));
    expect_error([&] { pattern(value, 3); }, {"config.json: summary_sliding_chunk_num", part});
  }
}

}  // namespace
}  // namespace precis
