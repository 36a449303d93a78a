#include "checkpoint/fields.h"

#include "checkpoint/hand_made.h"

namespace precis {
namespace {

Fields fields(const std::string& text) {
  return Fields(JsonView::parse(text, "config.json"));
}

TEST(Fields, NullIsAbsentExceptWhereAsked) {
  Fields config = fields(R"({"a": null, "b": 3})");
  EXPECT_FALSE(config.find("a").has_value());
  EXPECT_EQ(config.integer("a", 0, 9, 7), 7);
  EXPECT_EQ(config.integer("b", 0, 9, 7), 3);
  EXPECT_TRUE(config.is_null("a"));
  EXPECT_FALSE(config.is_null("b"));
  EXPECT_FALSE(config.is_null("c"));
  EXPECT_TRUE(config.flag("a", true));
  EXPECT_EQ(config.number("a", 0, 1, 0.5), 0.5);
}

TEST(Fields, TheNewestSpellingWins) {
  EXPECT_EQ(fields(R"({"dtype": 1, "torch_dtype": 2})").find({"dtype", "torch_dtype"})->integer(0, 9), 1);
  EXPECT_EQ(fields(R"({"torch_dtype": 2})").find({"dtype", "torch_dtype"})->integer(0, 9), 2);
  EXPECT_EQ(fields(R"({"dtype": null, "torch_dtype": 2})").find({"dtype", "torch_dtype"})->integer(0, 9), 2);
}

TEST(Fields, UnreadFieldsThatSaySomethingAreLeft) {
  Fields config = fields(R"({"asked": 1, "either": 2, "or": 3, "none": null, "no": false, "list": [], "object": {},
                             "ignored": 4, "yes": true, "zero": 0, "text": ""})");
  config.find("asked");
  config.find({"either", "or"});
  config.ignore("ignored");
  EXPECT_EQ(config.unread(), (std::vector<std::string>{"text", "yes", "zero"}));
}

TEST(Fields, ErrorsNameFileAndField) {
  Fields config = fields(R"({"a": "x", "b": 30, "c": 0.5, "d": null})");
  expect_error([&] { config.integer("a", 0, 9); }, {"config.json: a: ", "\"x\""});
  expect_error([&] { config.integer("b", 0, 9, 1); }, {"config.json: b: ", "30"});
  expect_error([&] { config.number("c", 1, 2); }, {"config.json: c: ", "0.5"});
  expect_error([&] { config.number("c", 0, 0.1, 0); }, {"config.json: c: ", "0.5"});
  expect_error([&] { config.flag("c", false); }, {"config.json: c: "});
  expect_error([&] { config.at("d"); }, {"config.json: d: missing"});
  expect_error([&] { config.integer("e", 0, 9); }, {"config.json: e: missing"});
  expect_error([] { fields("[1]"); }, {"config.json", "object"});
}

TEST(Fields, PrintableNamesStayOnOneLine) {
  EXPECT_TRUE(is_printable("model.norm \u00e9"));
  EXPECT_FALSE(is_printable("a\nb"));
  EXPECT_FALSE(is_printable("a\x1b[2J"));
  EXPECT_EQ(printable("a\nb\x7f"), "a?b?");
  EXPECT_EQ(printable(std::string(500, 'x')).size(), 103U);
}

}  // namespace
}  // namespace precis
