// The plans of `precis memory` for programs, and as a picture.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "line_plot.h"
#include "memory_table.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

Json kv_json(const KvReport& kv) {
  Json kinds = Json::array();
  for (const KvKind& kind : kv.kinds) {
    kinds.push_back({{"name", kind.name},
                     {"layers", kind.layers},
                     {"entries", kind.entries},
                     {"held_entries", kind.held_entries},
                     {"entry_bytes", kind.entry_bytes},
                     {"short_bytes", kind.short_bytes},
                     {"far", kind.far}});
  }
  return {{"kinds", std::move(kinds)},       {"formula_bytes", kv.formula_bytes},
          {"held_bytes", kv.held_bytes},     {"device_bytes", kv.device_bytes},
          {"far_bytes", kv.far_bytes},       {"full_attention_bytes", kv.full_bytes},
          {"page_entries", kv.page_entries}, {"page_bytes", kv.page_bytes}};
}

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

// A field of a CSV file: quoted where a comma or a quote would split it.
std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\n\r") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
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
  std::string text =
      "model,family,backend,kv_cache_dtype,context,sequences,kv_formula_bytes,kv_held_bytes,kv_full_attention_bytes,"
      "pool_bytes,far_bytes,weight_bytes,activation_bytes,overhead_bytes,total_bytes,measured_kv_active_bytes,"
      "measured_kv_allocated_bytes,measured_kv_reserved_bytes,measured_process_bytes,measured_device_bytes\n";
  for (const MemoryAnswer& answer : answers) {
    for (std::size_t i = 0; i < answer.plans.size(); ++i) {
      const MemoryPlan& plan = answer.plans[i];
      std::string measured = ",,,,";
      if (!answer.measured.empty()) {
        const MeasuredMemory& is = answer.measured[i];
        measured = fmt::format("{},{},{},{},{}", is.active_bytes, is.allocated_bytes, is.reserved_bytes,
                               is.process_bytes, is.device_use ? fmt::to_string(is.device_use->used_bytes) : "");
      }
      text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", quoted(answer.name), answer.family,
                          answer.backend, answer.kv_type, plan.context, plan.sequences, plan.kv.formula_bytes,
                          plan.kv.held_bytes, plan.kv.full_bytes, plan.pool_bytes, plan.far_bytes, plan.weight_bytes,
                          plan.activation_bytes, plan.overhead_bytes, plan.total_bytes, measured);
    }
  }
  return text;
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
    PlotLine held{.name = answers[i].name, .points = {}, .colour = i};
    PlotLine full{.name = answers[i].name + ", full attention", .points = {}, .dashed = true, .colour = i};
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
