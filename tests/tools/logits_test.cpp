#include <sys/stat.h>

#include <cmath>

#include "checkpoint/safetensors_file.h"
#include "support/reference_numbers.h"
#include "tools/program.h"

namespace precis::test {
namespace {

using Json = nlohmann::json;

class LogitsTest : public testing::Test {
 protected:
  // Tensors "0", "1", ... of what `precis logits` wrote.
  std::vector<std::vector<float>> logits(const Json& lists, const std::vector<std::string>& more) {
    const std::string output = folder_.path() / "logits.safetensors";
    const Finished finished =
        precis(std::vector<std::string>{"logits", "-m", base_, "--ids", "-", "-o", output} + more, lists.dump());
    EXPECT_EQ(finished.code, 0) << finished.err;
    EXPECT_EQ(finished.out, "");
    const SafetensorsFile file(output);
    EXPECT_EQ(file.names().size(), lists.size());
    std::vector<std::vector<float>> values;
    for (std::size_t at = 0; at < lists.size(); ++at) {
      const std::string name = std::to_string(at);
      const auto tensor = file.find(name);
      if (!tensor) throw std::runtime_error("no tensor " + name);
      EXPECT_EQ(tensor->view.type, DType::f32);
      EXPECT_EQ(tensor->view.shape, (std::vector<std::int64_t>{static_cast<std::int64_t>(lists[at].size()), 300}));
      values.push_back(to_floats(name, tensor->view));
    }
    return values;
  }

  static float distance(const std::vector<float>& left, const std::vector<float>& right) {
    if (left.size() != right.size()) return INFINITY;
    float most = 0;
    for (std::size_t at = 0; at < left.size(); ++at) most = std::max(most, std::abs(left[at] - right[at]));
    return most;
  }

  const std::filesystem::path base_ = test_data() / "ksa-variants" / "base";
  const TemporaryFolder folder_;
};

TEST_F(LogitsTest, EqualTheReferenceHoweverTheyAreComputed) {
  const ReferenceCase expected = read_checkpoint_case(base_);
  const Json lists = {expected.ids, std::vector(expected.ids.begin(), expected.ids.begin() + 9)};
  const auto whole = logits(lists, words("--compute f32"));
  EXPECT_LE(distance(whole[0], expected.logits), 5e-3);
  EXPECT_LE(distance(whole[1], {expected.logits.begin(), expected.logits.begin() + 9 * expected.vocabulary}), 5e-3);
  for (const char* way : {"--piece 13", "--piece 1", "--decode", "-c 1000 -t 2", "--backend reference"}) {
    const auto other = logits(lists, words(std::string("--compute f32 ") + way));
    EXPECT_LE(distance(other[0], whole[0]), 1e-4) << way;
    EXPECT_LE(distance(other[1], whole[1]), 1e-4) << way;
  }
}

TEST_F(LogitsTest, OutputIsWrittenWholeOrNotAtAll) {
  const std::string output = folder_.path() / "logits.safetensors";
  expect_refused(precis({"logits", "-m", base_, "--ids", "-", "-o", output}, "[[1, 2], [5000]]"), "5000");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

// The output is renamed into place, which would put a file where the device or pipe was.
TEST_F(LogitsTest, OutputThatIsNoRegularFileStaysWhatItIs) {
  const std::filesystem::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_refused(precis({"logits", "-m", base_, "--ids", "-", "-o", pipe}, "[[1, 2]]"), "no regular file");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  expect_refused(precis({"logits", "-m", base_, "--ids", "-", "-o", folder_.path()}, "[[1, 2]]"), "no regular file");
}

}  // namespace
}  // namespace precis::test
