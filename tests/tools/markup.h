// Whether a picture is well-formed XML, and what is in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tools/program.h"

namespace precis::test {

// Tags close in order, and nothing that is markup comes from a name.
inline void expect_tags(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    const std::string name = tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" /", 1) - (tag[0] == '/' ? 1 : 0));
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty()) << tag;
      ASSERT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty());
}

// Where there is a parser of XML, it has the last word.
inline void expect_markup(const std::string& text) {
  expect_tags(text);
  if (std::system("command -v xmllint > /dev/null 2>&1") != 0) return;
  const TemporaryFolder folder;
  const std::string command = "xmllint --noout '" + folder.write("picture.svg", text) + "'";
  EXPECT_EQ(std::system(command.c_str()), 0) << text;
}

// What stands between `before` and the next `after`, each time.
inline std::vector<std::string> parts_between(const std::string& text, const std::string& before,
                                              const std::string& after) {
  std::vector<std::string> parts;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at)) {
    at += before.size();
    parts.push_back(text.substr(at, text.find(after, at) - at));
  }
  return parts;
}

}  // namespace precis::test
