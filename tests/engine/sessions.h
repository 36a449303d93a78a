// Engines that save and load sessions: what tests of them share.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/hand_made.h"
#include "engine/courses.h"
#include "support/reference_numbers.h"

namespace precis::test {

inline EngineOptions session_options(const std::filesystem::path& model) {
  EngineOptions options;
  options.model = model;
  options.backend = "cpu";
  options.threads = 2;
  options.context = 500;
  options.piece = 48;
  options.prefix_distance = 64;
  return options;
}

// A folder of the test data, or a demo model.
inline std::filesystem::path model_folder(const std::string& name) {
  return name.starts_with("demo") ? models_folder() / name : data_folder() / name;
}

// Ids that every small model has.
inline std::vector<std::int32_t> small_ids(std::int64_t count, std::int32_t step = 7) {
  std::vector<std::int32_t> ids;
  for (std::int32_t i = 0; i < count; ++i) ids.push_back(3 + (i * i % 17 * step + i * step) % 290);
  return ids;
}

inline std::vector<std::int32_t> joined(std::vector<std::int32_t> ids, const std::vector<std::int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

inline std::string file_content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One line, or "" where it is loaded.
inline std::string load_refusal(Engine& engine, const std::filesystem::path& file) {
  try {
    engine.load_session(file);
    return "";
  } catch (const std::exception& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_TRUE(what.starts_with(file.string() + ": ")) << what;
    return what;
  }
}

inline Course run_one(Engine& engine, const std::vector<std::int32_t>& ids, std::int64_t tokens) {
  return std::move(run_together(engine, {ids}, tokens).front());
}

inline void expect_same_course(const Course& course, const Course& expected) {
  EXPECT_EQ(course.result.end.error, "");
  EXPECT_EQ(course.result.ids, expected.result.ids);
  EXPECT_EQ(course.result.end.usage.logits_hash, expected.result.end.usage.logits_hash);
  EXPECT_TRUE(course.rows == expected.rows);
}

// The report once all has been taken in that happened before: a request's end is told before its pages are given back.
inline MemoryReport settled_memory(Engine& engine, const std::filesystem::path& file) {
  engine.save_session(file, {}, "");
  return engine.memory();
}

// Nothing is held once the cache is dropped. An engine's end checks that too.
inline void expect_empty(Engine& engine) {
  engine.clear_prefix_cache();
  for (int i = 0; i < 2000 && engine.memory().pages_used + engine.memory().far_pages_used > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(engine.memory().pages_used, 0);
  EXPECT_EQ(engine.memory().far_pages_used, 0);
  EXPECT_EQ(engine.memory().cached_bytes, 0);
}

}  // namespace precis::test
