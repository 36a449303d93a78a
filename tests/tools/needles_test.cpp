// Twenty books of about 16,000 tokens, a fact planted in each, and a question for it.
#include <cstdlib>

#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

// Five of the twenty, planted at 5 to 85 % of their books; all twenty with PRECIS_TEST_ALL=1.
TEST(NeedlesLongTest, AllButOneFactAreFound) {
  const Json needles = Json::parse(read_file(test_data() / "needles" / "needles.json"));
  ASSERT_EQ(needles.size(), 20u);
  const std::size_t distance = std::getenv("PRECIS_TEST_ALL") != nullptr ? 1 : 4;
  int found = 0;
  int asked = 0;
  for (std::size_t index = 0; index < needles.size(); index += distance, ++asked) {
    const Json& needle = needles[index];
    const std::string book = test_data() / "needles" / needle["file"].get<std::string>();
    const Finished run = precis({"run", "-m", demo_ksa(), "--chat", "-f", book, "-p",
                                 needle["question"].get<std::string>(), "--temp", "0", "-n", "64"});
    ASSERT_EQ(run.code, 0) << run.err;
    const bool right = std::all_of(needle["answers"].begin(), needle["answers"].end(), [&](const Json& answer) {
      return run.out.find(answer.get<std::string>()) != std::string::npos;
    });
    if (!right) std::cout << needle["file"] << ": " << needle["answers"] << " is not in: " << run.out;
    found += right ? 1 : 0;
  }
  EXPECT_GE(found, asked - 1);
}

}  // namespace
}  // namespace precis::test
