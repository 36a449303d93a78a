// The plans of `precis memory` for programs, and as a picture.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "csv.h"
#include "kv_json.h"
#include "line_plot.h"
#include "memory_table.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

Json measured_json(const MeasuredMemory& measured) {
  Json json = {{"device", measured.device},
               {"weight_bytes", measured.ledger.weight_bytes},
               {"workspace_bytes", measured.ledger.workspace_bytes},
               {"pool_bytes", measured.ledger.pool_bytes},
               {"far_bytes", measured.ledger.far_bytes},
               {"kv_tokens", measured.kv.tokens},
               {"predicted_kv_bytes", measured.predicted_kv_bytes},
               {"kv_active_bytes", measured.active_bytes},
               {"kv_allocated_bytes", measured.allocated_bytes},
               {"kv_reserved_bytes", measured.reserved_bytes},
               {"peak_process_bytes", measured.process_bytes}};
  if (measured.device_use) {
    json["device_used_bytes"] = measured.device_use->used_bytes;
    json["device_total_bytes"] = measured.device_use->total_bytes;
  }
  return json;
}

Json plan_json(const MemoryPlan& plan) {
  Json formats = Json::object();
  for (const auto& [format, bytes] : plan.weight_formats) formats[format] = bytes;
  return {{"context", plan.context},
          {"sequences", plan.sequences},
          {"weight_bytes", plan.weight_bytes},
          {"weight_bytes_by_format", std::move(formats)},
          {"activation_bytes", plan.activation_bytes},
          {"pool_bytes", plan.pool_bytes},
          {"overhead_bytes", plan.overhead_bytes},
          {"total_bytes", plan.total_bytes},
          {"far_bytes", plan.far_bytes},
          {"kv_of_a_sequence", kv_json(plan.kv)}};
}

Json fit_json(const MemoryFit& fit) {
  Json parallel = Json::array();
  for (const auto& [context, sequences] : fit.parallel) {
    parallel.push_back({{"context", context}, {"sequences", sequences}});
  }
  return {{"bytes", fit.bytes},
          {"sequences", fit.sequences},
          {"largest_context", fit.context},
          {"most_sequences", std::move(parallel)}};
}

CsvRow csv_row(const MemoryAnswer& answer, std::size_t index) {
  const MemoryPlan& plan = answer.plans[index];
  CsvRow row = {{"model", answer.name},
                {"family", answer.family},
                {"backend", answer.backend},
                {"kv_cache_dtype", answer.kv_type}};
  const auto bytes = [&row](const char* name, std::int64_t value) { row.emplace_back(name, fmt::to_string(value)); };
  bytes("context", plan.context);
  bytes("sequences", plan.sequences);
  bytes("kv_formula_bytes", plan.kv.formula_bytes);
  bytes("kv_held_bytes", plan.kv.held_bytes);
  bytes("kv_full_attention_bytes", plan.kv.full_bytes);
  bytes("pool_bytes", plan.pool_bytes);
  bytes("far_bytes", plan.far_bytes);
  bytes("weight_bytes", plan.weight_bytes);
  bytes("activation_bytes", plan.activation_bytes);
  bytes("overhead_bytes", plan.overhead_bytes);
  bytes("total_bytes", plan.total_bytes);
  if (answer.measured.empty()) return row;
  const MeasuredMemory& measured = answer.measured[index];
  bytes("measured_kv_active_bytes", measured.active_bytes);
  bytes("measured_kv_allocated_bytes", measured.allocated_bytes);
  bytes("measured_kv_reserved_bytes", measured.reserved_bytes);
  bytes("measured_process_bytes", measured.process_bytes);
  row.emplace_back("measured_device_bytes", measured.device_use ? fmt::to_string(measured.device_use->used_bytes) : "");
  return row;
}

// "ksa-4b" of bench/geometries/ksa-4b/config.json
std::string short_name(const std::string& model) {
  std::filesystem::path path = std::filesystem::path(model).lexically_normal();
  if (path.filename() == "config.json") path = path.parent_path();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().empty() ? model : path.filename().string();
}

}  // namespace

std::string memory_json(const std::vector<MemoryAnswer>& answers) {
  Json all = Json::array();
  for (const MemoryAnswer& answer : answers) {
    Json contexts = Json::array();
    for (std::size_t i = 0; i < answer.plans.size(); ++i) {
      contexts.push_back(plan_json(answer.plans[i]));
      if (!answer.measured.empty()) contexts.back()["measured"] = measured_json(answer.measured[i]);
    }
    Json one = {{"model", answer.name},
                {"family", answer.family},
                {"backend", answer.backend},
                {"kv_cache_dtype", answer.kv_type},
                {"contexts", std::move(contexts)}};
    if (answer.fit) one["fit"] = fit_json(*answer.fit);
    all.push_back(std::move(one));
  }
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string memory_csv(const std::vector<MemoryAnswer>& answers) {
  std::vector<CsvRow> rows;
  for (const MemoryAnswer& answer : answers) {
    for (std::size_t index = 0; index < answer.plans.size(); ++index) rows.push_back(csv_row(answer, index));
  }
  return csv(rows);
}

std::string memory_svg(const std::vector<MemoryAnswer>& answers) {
  LinePlot plot{.title = "K and V of a sequence by its context",
                .subtitle = "dashed: the same model with full attention in every layer",
                .x_label = "context (tokens)",
                .y_label = "bytes",
                .y_unit = PlotUnit::bytes,
                .y_scale = PlotScale::log10,
                .lines = {}};
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::string name = short_name(answers[i].name);
    PlotLine held{.name = name, .points = {}, .colour = i};
    PlotLine full{.name = name + ", full attention", .points = {}, .dashed = true, .colour = i};
    bool differs = false;
    for (const MemoryPlan& plan : answers[i].plans) {
      const auto x = static_cast<double>(plan.context);
      held.points.emplace_back(x, static_cast<double>(plan.kv.held_bytes));
      full.points.emplace_back(x, static_cast<double>(plan.kv.full_bytes));
      differs |= plan.kv.full_bytes < plan.kv.formula_bytes || plan.kv.full_bytes > plan.kv.held_bytes;
    }
    plot.lines.push_back(std::move(held));
    if (differs) plot.lines.push_back(std::move(full));
  }
  return svg(plot);
}

}  // namespace precis
