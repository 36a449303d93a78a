// Requests that run together or alone, with all that they give: what tests of the same bits compare.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/answers.h"

namespace precis::test {

inline std::vector<std::int32_t> some_ids(std::int64_t count, std::int32_t step = 7) {
  std::vector<std::int32_t> ids;
  for (std::int32_t i = 0; i < count; ++i) ids.push_back(100 + i * i % 17 * step + i * step % 4000);
  return ids;
}

struct Course {
  LogitRows rows;
  Result result;
};

template <typename OneEngine>
std::vector<Course> run_together(OneEngine& engine, const std::vector<std::vector<std::int32_t>>& prompts,
                                 std::int64_t tokens) {
  std::vector<Course> courses(prompts.size());
  std::vector<Request> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back(greedy_request(prompts[i], tokens));
    collect(requests.back(), courses[i].rows, false);
  }
  std::vector<Stream> streams = engine.submit(std::move(requests));
  for (std::size_t i = 0; i < prompts.size(); ++i) courses[i].result = wait_for(streams[i]);
  return courses;
}

inline Course run_alone(const EngineOptions& options, const std::vector<std::int32_t>& prompt, std::int64_t tokens) {
  Engine engine(options);
  return std::move(run_together(engine, {prompt}, tokens).front());
}

}  // namespace precis::test
