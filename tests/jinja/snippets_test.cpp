// Thousands of small templates against what jinja2 made of them (make_snippets.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "jinja/template.h"

namespace precis::jinja {
namespace {

using Json = nlohmann::ordered_json;

TEST(JinjaSnippets, RenderAsJinja2Does) {
  std::istringstream lines(read_text(std::filesystem::path(PRECIS_TEST_DATA) / "jinja/snippets.jsonl", 8 << 20));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  Variables variables;
  const Json first = Json::parse(line);
  for (const auto& [name, value] : first.at("variables").items()) {
    variables.emplace_back(name, from_json(value, false));
  }
  int cases = 0;
  int wrong = 0;
  while (std::getline(lines, line)) {
    const Json entry = Json::parse(line);
    ++cases;
    std::string found, error;
    try {
      found = Template(entry[0].get<std::string>()).render(variables).bytes();
    } catch (const Error& refused) {
      error = refused.what();
      EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    }
    const bool same = entry[1].is_null() ? !error.empty() : error.empty() && found == entry[1].get<std::string>();
    if (same) continue;
    ++wrong;
    if (wrong <= 400) {
      ADD_FAILURE() << entry[0].dump() << "\n  found    " << (error.empty() ? Json(found).dump() : error)
                    << "\n  expected " << entry[1].dump();
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(cases, 8000);
}

}  // namespace
}  // namespace precis::jinja
