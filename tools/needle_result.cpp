#include "needle_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "numbers.h"
#include "precis/units.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

std::string shown(const NeedleCount& count) {
  return count.all == 0 ? "-" : fmt::format("{:.0f} % {}/{}", count.percent(), count.right, count.all);
}

// What the documents of one length came to.
struct LengthSizes {
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  std::int64_t most = 0;
  std::int64_t kv_bytes = 0;  // the most

  LengthSizes(const std::vector<NeedleResult>& results, std::int64_t length) {
    for (const NeedleResult& result : results) {
      if (result.length != length) continue;
      fewest = std::min(fewest, result.prompt_tokens);
      most = std::max(most, result.prompt_tokens);
      kv_bytes = std::max(kv_bytes, result.kv_bytes);
    }
  }
  std::string shown() const {
    return fewest == most ? shown_count(most) : fmt::format("{} to {}", shown_count(fewest), shown_count(most));
  }
};

// Columns as wide as their widest entry, the first to the left, the others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at) widths[at] = std::max(widths[at], row[at].size());
  }
  for (const auto& row : rows) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (std::size_t at = 1; at < row.size(); ++at) text += fmt::format("  {:>{}}", row[at], widths[at]);
    text += "\n";
  }
  return text;
}

Json count_json(const NeedleCount& count) {
  return {{"right", count.right}, {"asked", count.all}, {"percent", count.percent()}};
}

Json table_json(const NeedleTable& table) {
  Json rows = Json::array();
  for (const std::int64_t length : table.lengths) {
    Json cells = Json::array();
    for (const double depth : table.depths) {
      const auto cell = table.cells.find({length, depth});
      if (cell == table.cells.end()) continue;
      Json object = {{"depth", depth}};
      object.update(count_json(cell->second));
      cells.push_back(std::move(object));
    }
    Json row = {{"length", length}};
    row.update(count_json(table.totals.at(length)));
    row["depths"] = std::move(cells);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json result_json(const NeedleResult& result, std::uint64_t seed) {
  Json answers = Json::array();
  for (std::size_t at = 0; at < result.question.answers.size(); ++at) {
    const WantedAnswer& answer = result.question.answers[at];
    answers.push_back({{"text", answer.text},
                       {"asked_depth", answer.asked_depth},
                       {"depth", answer.depth},
                       {"found", static_cast<bool>(result.found[at])}});
  }
  Json facts = Json::array();
  for (const PlantedFact& planted : result.facts) {
    facts.push_back({{"text", planted.fact.sentence}, {"depth", planted.depth}});
  }
  Json object = {{"length", result.length}, {"document", result.document}, {"turn", result.turn}};
  if (result.file.empty()) {
    object["seed"] = seed;
    object["facts"] = std::move(facts);
  } else {
    object["file"] = result.file;
  }
  object.update(Json({{"question", result.question.text},
                      {"answers", std::move(answers)},
                      {"reply", result.reply},
                      {"right", result.verdict == Verdict::right},
                      {"verdict", verdict_name(result.verdict)},
                      {"prompt_tokens", result.prompt_tokens},
                      {"reused_tokens", result.reused_tokens},
                      {"reply_tokens", result.reply_tokens},
                      {"prompt_seconds", result.prompt_seconds},
                      {"reply_seconds", result.reply_seconds},
                      {"kv_bytes", result.kv_bytes}}));
  return object;
}

}  // namespace

NeedleTable::NeedleTable(const std::vector<NeedleResult>& results) {
  std::set<std::int64_t> all_lengths;
  std::set<double> all_depths;
  for (const NeedleResult& result : results) {
    all_lengths.insert(result.length);
    totals[result.length].add(result.verdict == Verdict::right);
    total.add(result.verdict == Verdict::right);
    for (std::size_t at = 0; at < result.found.size(); ++at) {
      const double depth = result.question.answers[at].asked_depth;
      all_depths.insert(depth);

      cells[{result.length, depth}].add(result.found[at]);
    }
  }
  lengths.assign(all_lengths.begin(), all_lengths.end());
  depths.assign(all_depths.begin(), all_depths.end());
}

std::string needle_text(const NeedleReport& report) {
  const NeedleTable table(report.results);
  std::vector<std::vector<std::string>> rows = {{"length"}};
  for (const double depth : table.depths) rows[0].push_back(fmt::format("{:g} %", depth));
  rows[0].insert(rows[0].end(), {"questions", "prompt tokens", "K and V held"});
  for (const std::int64_t length : table.lengths) {
    std::vector<std::string> row = {shown_tokens(length)};
    for (const double depth : table.depths) {
      const auto cell = table.cells.find({length, depth});
      row.push_back(cell == table.cells.end() ? "-" : shown(cell->second));
    }
    const LengthSizes sizes(report.results, length);
    row.insert(row.end(),
               {shown(table.totals.at(length)), sizes.shown(), shown_bytes(static_cast<double>(sizes.kv_bytes))});
    rows.push_back(std::move(row));
  }
  return aligned(rows) + fmt::format("all questions: {}\n", shown(table.total));
}

std::string needle_json(const NeedleReport& report) {
  const NeedleTable table(report.results);
  Json cases = Json::array();
  for (const NeedleResult& result : report.results) cases.push_back(result_json(result, report.seed));
  Json object = {{"model", report.options.model.string()},
                 {"device", report.device},
                 {"context", report.options.context},
                 {"compute", report.options.compute},
                 {"kv_cache_dtype", report.options.kv_cache_dtype},
                 {"weights", report.options.weights}};
  if (report.generated) object["seed"] = report.seed;
  object.update(count_json(table.total));
  object["table"] = table_json(table);
  object["cases"] = std::move(cases);
  return object.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace precis
