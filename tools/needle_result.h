// What `precis eval needle` found out: cases, and the table of lengths and depths that they make.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "needle_document.h"
#include "needle_verdict.h"
#include "precis/engine_options.h"

namespace precis {

// One question, its reply and what was made of it.
struct NeedleResult {
  std::int64_t length = 0;   // asked for
  std::size_t document = 0;  // counts the documents of the run
  std::string file;          // that it was read from; empty: generated
  std::vector<PlantedFact> facts;
  NeedleQuestion question;
  std::size_t turn = 0;  // counts the questions of the document
  std::string reply;
  Verdict verdict = Verdict::missing;
  std::vector<bool> found;         // beside question.answers: it is in a reply that counts
  std::int64_t prompt_tokens = 0;  // what the length came to
  std::int64_t reused_tokens = 0;  // of them, from the prefix cache
  std::int64_t reply_tokens = 0;
  double prompt_seconds = 0;
  double reply_seconds = 0;
  std::int64_t kv_bytes = 0;  // held at the reply's end
};

struct NeedleCount {
  std::int64_t right = 0;
  std::int64_t all = 0;

  void add(bool is_right) {
    right += is_right ? 1 : 0;
    ++all;
  }
  double percent() const { return all == 0 ? 0 : 100 * static_cast<double>(right) / static_cast<double>(all); }
};

struct NeedleReport {
  EngineOptions options;
  std::string device;
  std::uint64_t seed = 0;
  bool generated = true;
  std::vector<NeedleResult> results;
};

// Answers found, by length and depth, and questions with all their answers, by length.
struct NeedleTable {
  std::vector<std::int64_t> lengths;                             // ascending
  std::vector<double> depths;                                    // ascending, percent
  std::map<std::pair<std::int64_t, double>, NeedleCount> cells;  // absent: nothing was asked there
  std::map<std::int64_t, NeedleCount> totals;                    // of a length
  NeedleCount total;

  explicit NeedleTable(const std::vector<NeedleResult>& results);
};

std::string needle_text(const NeedleReport& report);
std::string needle_json(const NeedleReport& report);
// A heat map; a dashed frame where nothing was asked.
std::string needle_svg(const NeedleReport& report);

}  // namespace precis
