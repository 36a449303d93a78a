// Runs requests to their end and collects what came.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "precis/engine.h"

namespace precis::test {

// Of a test that has both demo models in turn.
inline std::string name_of_model(const testing::TestParamInfo<std::string>& info) {
  return info.param == "demo-ksa" ? "ksa" : "dense";
}

// The backend that whole engines are held against foreign numbers on: PRECIS_TEST_BACKEND, cpu without it.
inline std::string test_backend() {
  const char* given = std::getenv("PRECIS_TEST_BACKEND");
  return given != nullptr ? given : "cpu";
}

struct Result {
  std::vector<std::int32_t> ids;  // the answer
  std::string text;
  TokenEvent end;
};

inline Result wait_for(Stream& stream) {
  Result result;
  for (;;) {
    TokenEvent event = stream.next();
    result.text += event.text;
    if (event.end) {
      result.end = std::move(event);
      return result;
    }
    result.ids.push_back(event.id);
  }
}

// Logits by index, filled on the engine's thread and read after the end event.
using LogitRows = std::map<std::int64_t, std::vector<float>>;

inline Request greedy_request(std::vector<std::int32_t> ids, std::int64_t max_tokens) {
  Request request;
  request.ids = std::move(ids);
  request.hash_logits = true;
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  request.ignore_end = true;
  return request;
}

inline void collect(Request& request, LogitRows& rows, bool all) {
  request.all_logits = all;
  request.on_logits = [&rows](std::int64_t index, std::span<const float> logits) {
    rows[index].assign(logits.begin(), logits.end());
  };
}

inline double max_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= most)) most = difference;  // a NaN stays
  }
  return most;
}

// |a - b| / |b|, of vectors.
inline double relative_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / norm);
}

}  // namespace precis::test
