// Choosing the next ids from rows of logits of Qwen3's vocabulary, until the host has what it needs of them: on a GPU
// a step of few sequences waits for all of that.
#include <fmt/format.h>

#include <memory>
#include <random>

#include "bench_case.h"
#include "device/ops.h"

namespace precis::bench {
namespace {

constexpr std::int64_t vocabulary = 151'936;

class Rows {
 public:
  Rows(Device& device, std::int64_t rows, DrawWants wants)
      : ops_(device.ops()),
        rows_(rows),
        draws_(wants != DrawWants::nothing),
        logits_(device.allocate(rows * vocabulary * std::int64_t{sizeof(float)})),
        options_(device.allocate(rows * std::int64_t{sizeof(DrawOptions)})),
        found_(device.allocate(rows * std::int64_t{sizeof(RowDraw)})),
        ids_(device.allocate(rows * std::int64_t{sizeof(std::int32_t)})) {
    std::mt19937_64 random;
    std::normal_distribution<float> normal(0, 3);
    std::vector<float> logits(static_cast<std::size_t>(rows * vocabulary));
    for (float& logit : logits) logit = normal(random);
    std::vector<DrawOptions> options(static_cast<std::size_t>(rows), {.wants = wants, .uniform = 0.7});
    ops_.to_device(logits_.as(), logits.data(), logits_.bytes());
    ops_.to_device(options_.as(), options.data(), options_.bytes());
  }

  void call() {
    auto* ids = ids_.as<std::int32_t>();
    if (!draws_) {
      ops_.most_likely({logits_.as<float>(), ids, rows_, vocabulary});
      ops_.on_host(ids, ids_.bytes());
    } else {
      ops_.draw({logits_.as<float>(), options_.as<DrawOptions>(), ids, found_.as<RowDraw>(), rows_, vocabulary});
      ops_.on_host(found_.as(), found_.bytes());
    }
  }

  double bytes() const { return static_cast<double>(logits_.bytes()); }

 private:
  Ops& ops_;
  std::int64_t rows_;
  bool draws_;
  Buffer logits_;
  Buffer options_;
  Buffer found_;
  Buffer ids_;
};

}  // namespace

std::vector<Case> draw_cases() {
  std::vector<Case> cases;
  const std::pair<const char*, DrawWants> kinds[] = {{"none", DrawWants::nothing},
                                                     {"candidates", DrawWants::candidates},
                                                     {"candidates-and-sum", DrawWants::candidates_and_sum},
                                                     {"id", DrawWants::id}};
  for (const auto& [name, wants] : kinds) {
    for (const std::int64_t rows : {1, 8, 32}) {
      cases.push_back({fmt::format("draw/{}-{}", name, rows), [rows, wants = wants](Device& device) {
                         const auto work = std::make_shared<Rows>(device, rows, wants);
                         return Work{work->bytes(), 0, [work] { work->call(); }};
                       }});
    }
  }
  return cases;
}

}  // namespace precis::bench
