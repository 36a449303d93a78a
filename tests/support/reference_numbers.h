// Ids and logits that other implementations computed for a checkpoint (tests/data/README.md says which).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace precis::test {

std::filesystem::path data_folder();
std::filesystem::path models_folder();

struct ReferenceCase {
  std::string name;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> greedy;  // continuation by the most likely token
  std::vector<double> margins;       // best logit minus the second, beside `greedy`
  std::int64_t vocabulary = 0;
  std::vector<float> logits;  // [ids, vocabulary], or empty
  std::vector<float> last;    // [vocabulary]: after the last id
  std::vector<float> nll;     // [ids - 1]: -log p(ids[i + 1] | ids[.. i]), or empty
};

// families/NAME and ksa-variants/NAME: one case beside the checkpoint, logits of every row.
ReferenceCase read_checkpoint_case(const std::filesystem::path& folder);

// demo-ksa and demo-dense: many lengths, logits of the last row.
std::vector<ReferenceCase> read_demo_cases(const std::string& name);

// Folders in `under` of the test data, sorted.
std::vector<std::string> folders(const std::string& under);

}  // namespace precis::test
