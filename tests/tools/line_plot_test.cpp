// Lines as an SVG: where points, numbers and names stand, and that anything can be drawn.
#include "line_plot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "numbers.h"
#include "plot_scale.h"
#include "support/random.h"
#include "svg.h"
#include "tools/markup.h"

namespace precis::test {
namespace {

using Points = std::vector<std::pair<double, double>>;

// The lines' points as they are drawn, each line's in order.
std::vector<Points> drawn(const std::string& svg) {
  std::vector<Points> lines;
  for (const std::string& text : parts_between(svg, "<polyline points=\"", "\"")) {
    lines.emplace_back();
    for (const std::string& point : parts_between(" " + text + " ", " ", " ")) {
      if (point.empty()) continue;
      const std::size_t comma = point.find(',');
      lines.back().emplace_back(std::stod(point.substr(0, comma)), std::stod(point.substr(comma + 1)));
    }
  }
  return lines;
}

// Where the line of text stands that says this.
double height_of(const std::string& svg, const std::string& said) {
  for (const std::string& text : parts_between(svg, "<text ", "</text>")) {
    if (text.ends_with(">" + said)) return std::stod(parts_between(text, " y=\"", "\"").at(0));
  }
  ADD_FAILURE() << said << " is not in\n" << svg;
  return 0;
}

LinePlot two_lines() {
  return {.title = "Milliseconds a token",
          .subtitle = "cpu",
          .x_label = "context (tokens)",
          .y_label = "ms",
          .lines = {{.name = "dense", .points = {{1024, 3}, {2048, 4}, {4096, 6}}},
                    {.name = "predicted", .points = {{1024, 2}, {4096, 3}}, .dashed = true}}};
}

TEST(LinePlotTest, PointsStandWhereTheirValuesAre) {
  const std::string picture = svg(two_lines());
  expect_markup(picture);
  const std::vector<Points> lines = drawn(picture);
  ASSERT_EQ(lines.size(), 2U);
  ASSERT_EQ(lines[0].size(), 3U);
  ASSERT_EQ(lines[1].size(), 2U);
  // Twice the context is the same step to the right, and heights are as the values.
  EXPECT_NEAR(lines[0][1].first - lines[0][0].first, lines[0][2].first - lines[0][1].first, 0.11);
  EXPECT_EQ(lines[1][1].first, lines[0][2].first);
  EXPECT_NEAR((lines[0][1].second - lines[0][2].second) / (lines[0][0].second - lines[0][1].second), 2, 0.01);
  EXPECT_EQ(lines[1][1].second, lines[0][0].second);
  // Its axis starts at 0: 3 is half as high as 6.
  const double zero = height_of(picture, "0") - 4;
  EXPECT_NEAR((zero - lines[0][2].second) / (zero - lines[0][0].second), 2, 0.01);
  EXPECT_EQ(parts_between(picture, "stroke-dasharray=\"", "\"").size(), 2U) << "the line, and the sample by its name";
  for (const char* said : {">1k<", ">2k<", ">4k<", ">dense<", ">predicted<", ">context (tokens)<", ">ms<", ">cpu<",
                           "<title>dense: 4 at 2k</title>", "prefers-color-scheme: dark"}) {
    EXPECT_NE(picture.find(said), std::string::npos) << said;
  }
}

TEST(LinePlotTest, LogarithmicHeights) {
  LinePlot plot = two_lines();
  plot.y_scale = PlotScale::log10;
  plot.y_unit = PlotUnit::bytes;
  plot.lines = {{.name = "held", .points = {{1, 1e6}, {2, 1e7}, {4, 1e8}, {8, 1e10}, {16, 0}}}};
  const std::string picture = svg(plot);
  expect_markup(picture);
  const std::vector<Points> lines = drawn(picture);
  ASSERT_EQ(lines.at(0).size(), 4U) << "a logarithmic scale has no 0";
  const auto rise = [&](std::size_t at) { return lines[0][at].second - lines[0][at + 1].second; };
  EXPECT_NEAR(rise(0), rise(1), 0.11);
  EXPECT_NEAR(rise(2), 2 * rise(1), 0.21);
  for (const char* said : {">1 MB<", ">10 MB<", ">100 MB<", ">1 GB<", ">10 GB<"}) {
    EXPECT_NE(picture.find(said), std::string::npos) << said;
  }
}

TEST(LinePlotTest, NamesDoNotTouch) {
  LinePlot plot = two_lines();
  plot.lines.clear();
  for (int line = 0; line < 8; ++line) {
    plot.lines.push_back({.name = fmt::format("line {}", line), .points = {{1024, 1}, {131072, 100 + 0.1 * line}}});
  }
  plot.lines[3].points[1].second = 0;
  const std::string picture = svg(plot);
  std::vector<double> heights;
  for (const PlotLine& line : plot.lines) heights.push_back(height_of(picture, line.name));
  EXPECT_EQ(*std::max_element(heights.begin(), heights.end()), heights[3]);
  heights.erase(heights.begin() + 3);
  // The larger the value, the higher the name.
  for (std::size_t i = 1; i < heights.size(); ++i) EXPECT_GE(heights[i - 1] - heights[i], 15);
  for (int colour = 0; colour < 8; ++colour) {
    EXPECT_NE(picture.find(fmt::format("<g class=\"hue{}\">", colour)), std::string::npos);
  }
}

TEST(LinePlotTest, LinesMayShareAColour) {
  LinePlot plot = two_lines();
  plot.lines[1].colour = 0;
  const std::string picture = svg(plot);
  EXPECT_EQ(parts_between(picture, "<g class=\"", "\"").size(), 4U);
  for (const std::string& colour : parts_between(picture, "<g class=\"", "\"")) EXPECT_EQ(colour, "hue0");
}

TEST(LinePlotTest, MarkupInNamesIsText) {
  LinePlot plot = two_lines();
  plot.title = "a<b> & \"c\"";
  plot.subtitle =
      "Gr\xC3\xB6\xC3\x9F"
      "e \x01 \xFF";
  plot.x_label = plot.y_label = plot.lines[0].name = "</text><script>&amp;";
  const std::string picture = svg({plot, plot});
  expect_markup(picture);
  EXPECT_EQ(picture.find("<script"), std::string::npos);
  EXPECT_NE(picture.find("a&lt;b&gt; &amp; &quot;c&quot;"), std::string::npos);
  EXPECT_NE(picture.find("Gr\xC3\xB6\xC3\x9F"
                         "e ? ?"),
            std::string::npos);
}

TEST(LinePlotTest, LongTextsAreCutBetweenCharacters) {
  LinePlot plot = two_lines();
  plot.title.clear();
  for (int i = 0; i < 300; ++i) plot.title += "\xE2\x82\xAC";
  plot.lines[0].name = plot.title;
  const std::string picture = svg(plot);
  expect_markup(picture);
  EXPECT_EQ(picture.find('?'), std::string::npos);
  EXPECT_NE(picture.find("\xE2\x82\xAC...</text>"), std::string::npos);
}

TEST(LinePlotTest, NothingAndOnePoint) {
  expect_markup(svg(std::vector<LinePlot>{}));
  expect_markup(svg(LinePlot{}));
  for (const PlotScale scale : {PlotScale::linear, PlotScale::log10}) {
    LinePlot plot = two_lines();
    plot.y_scale = scale;
    for (PlotLine& line : plot.lines) line.points.clear();
    const std::string none = svg(plot);
    expect_markup(none);
    EXPECT_NE(none.find(">dense (no values)<"), std::string::npos);
    plot.lines[0].points = {{3000, 7}};
    const std::string one = svg(plot);
    expect_markup(one);
    EXPECT_NE(one.find(">3000<"), std::string::npos);
    EXPECT_NE(one.find("<title>dense: 7 at 3000</title>"), std::string::npos);
  }
}

TEST(LinePlotTest, AnyNumbersCanBeDrawn) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::vector<double> odd = {0,
                                   -1,
                                   1e-320,
                                   1e-300,
                                   1e300,
                                   std::numeric_limits<double>::max(),
                                   std::numeric_limits<double>::infinity(),
                                   -std::numeric_limits<double>::infinity(),
                                   std::numeric_limits<double>::quiet_NaN()};
  for (int round = 0; round < 60; ++round) {
    LinePlot plot = two_lines();
    plot.x_unit = random.pick<PlotUnit>({PlotUnit::plain, PlotUnit::tokens, PlotUnit::bytes});
    plot.y_unit = random.pick<PlotUnit>({PlotUnit::plain, PlotUnit::tokens, PlotUnit::bytes});
    plot.y_scale = random.chance(0.5) ? PlotScale::linear : PlotScale::log10;
    plot.lines.resize(static_cast<std::size_t>(random.between(1, 30)));
    const auto value = [&] { return random.chance(0.2) ? random.pick(odd) : std::exp(random.unit() * 1300 - 650); };
    for (PlotLine& line : plot.lines) {
      line.points.clear();
      for (std::int64_t count = random.between(0, 5); count > 0; --count) line.points.emplace_back(value(), value());
    }
    const std::string picture = svg(plot);
    expect_tags(picture);
    for (const char* wrong : {"nan", "inf"}) EXPECT_EQ(picture.find(wrong), std::string::npos) << picture;
    for (const Points& line : drawn(picture)) {
      for (const auto& [x, y] : line) {
        EXPECT_GE(x, 88);
        EXPECT_LE(x, 464);
        EXPECT_GE(y, 84);
        EXPECT_LE(y, 84 + 17 * 30);
      }
    }
  }
}

TEST(PlotAxisTest, TicksAreRoundNumbers) {
  EXPECT_EQ(PlotAxis::from_zero({9.56}).ticks(), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(PlotAxis::from_zero({3}).ticks(), (std::vector<double>{0, 0.5, 1, 1.5, 2, 2.5, 3}));
  EXPECT_EQ(PlotAxis::from_zero({19.34e9, 1}).ticks(), (std::vector<double>{0, 5e9, 10e9, 15e9, 20e9}));
  EXPECT_EQ(PlotAxis::powers_of_two({1000, 5000}).ticks(), (std::vector<double>{1024, 2048, 4096}));
  EXPECT_EQ(PlotAxis::powers_of_two({1100, 1900}).ticks(), (std::vector<double>{1100, 1900}));
  EXPECT_EQ(PlotAxis::powers_of_ten({3, 40}).ticks(), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(PlotAxis::powers_of_ten({10, 1e6}).ticks(), (std::vector<double>{10, 100, 1e3, 1e4, 1e5, 1e6}));
  EXPECT_LE(PlotAxis::powers_of_two({1, 1e18}).ticks().size(), 11U);
  EXPECT_EQ(plot_tick(2e9, PlotUnit::bytes), "2 GB");
  EXPECT_EQ(plot_tick(1.5e9, PlotUnit::bytes), "1.5 GB");
  EXPECT_EQ(plot_tick(250e6, PlotUnit::bytes), "250 MB");
  EXPECT_EQ(plot_tick(100e6, PlotUnit::bytes), "100 MB");
  EXPECT_EQ(plot_tick(20, PlotUnit::bytes), "20 B");
  EXPECT_EQ(plot_tick(1500, PlotUnit::plain), "1,500");
  EXPECT_EQ(plot_tick(0.25, PlotUnit::plain), "0.25");
}

TEST(PlotAxisTest, TokensAreShownAsTheyAreTyped) {
  EXPECT_EQ(shown_tokens(1000), "1000");
  EXPECT_EQ(shown_tokens(1536), "1536");
  EXPECT_EQ(shown_tokens(32768), "32k");
  EXPECT_EQ(shown_tokens(1 << 20), "1M");
  for (const std::int64_t tokens :
       {std::int64_t{0}, std::int64_t{1023}, std::int64_t{3} << 10, std::int64_t{5} << 30}) {
    EXPECT_EQ(parse_count("--x", shown_tokens(tokens), 0, std::int64_t{1} << 40), tokens);
  }
}

TEST(PlotAxisTest, LabelsAreSpread) {
  const auto spread = [](std::vector<double> heights) {
    spread_labels(heights, 17, 0, 300);
    return heights;
  };
  EXPECT_EQ(spread({100, 117, 200}), (std::vector<double>{100, 117, 200})) << "they do not touch";
  EXPECT_EQ(spread({100, 100, 100, 300}), (std::vector<double>{83, 100, 117, 300})) << "around where they were";
  EXPECT_EQ(spread({100, 100, 112, 150}), (std::vector<double>{87, 104, 121, 150}));
  EXPECT_EQ(spread({2, 3, 30}), (std::vector<double>{0, 17, 34}));
  EXPECT_EQ(spread({295, 299, 300}), (std::vector<double>{266, 283, 300}));
  EXPECT_EQ(spread({}), std::vector<double>());
}

TEST(SvgTest, WhatXmlMayNotHaveIsReplaced) {
  EXPECT_EQ(svg_escaped("\xED\xA0\x80"), "???") << "half a surrogate";
  EXPECT_EQ(svg_escaped("\xC0\xAF"), "??") << "overlong";
  EXPECT_EQ(svg_escaped("\xEF\xBF\xBE"), "?") << "U+FFFE";
  EXPECT_EQ(svg_escaped("\xF0\x9F\x98\x80\xF0\x9F"), "\xF0\x9F\x98\x80??") << "cut off";
  EXPECT_EQ(svg_escaped(std::string_view("a\0\n\x7F", 4)), "a???");
}

}  // namespace
}  // namespace precis::test
