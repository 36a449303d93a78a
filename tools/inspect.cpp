// precis inspect: what a checkpoint is, without loading its weights.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "engine_flags.h"
#include "numbers.h"
#include "outcome.h"
#include "precis/checkpoint_report.h"
#include "terminal.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Examples:
  precis inspect -m models/demo-ksa
  precis inspect -m models/demo-ksa --json

Reads config.json and the headers of the tensor files. Exit codes: 0 done, 2 not a checkpoint that Precis can run.)";

struct InspectFlags {
  std::filesystem::path model;
  bool json = false;
};

std::string report_json(const CheckpointReport& report) {
  Json layers = Json::array();
  for (const LayerReport& layer : report.layer) {
    Json one = {{"sight", layer.sight}};
    if (layer.window > 0 || layer.sight != "full") one["window"] = layer.window;
    layers.push_back(std::move(one));
  }
  Json types = Json::object();
  for (const auto& [type, bytes] : report.bytes_by_type) types[type] = bytes;
  const Json object = {{"family", report.family},
                       {"layers", report.layers},
                       {"hidden", report.hidden},
                       {"ffn", report.ffn},
                       {"heads", report.heads},
                       {"kv_heads", report.kv_heads},
                       {"head_dim", report.head_dim},
                       {"embeddings", report.embeddings},
                       {"vocabulary", report.vocabulary},
                       {"context", report.context},
                       {"rope", report.rope},
                       {"tied_head", report.tied_head},
                       {"chunk_text", report.chunk_text},
                       {"chunk_summary", report.chunk_summary},
                       {"summary", report.summary},
                       {"layer", std::move(layers)},
                       {"quantized", report.quantized},
                       {"parameters", report.parameters},
                       {"bytes", report.bytes},
                       {"tensors", report.tensors},
                       {"files", report.files},
                       {"bytes_by_type", std::move(types)},
                       {"unused", report.unused},
                       {"kv_bytes_per_token_full", report.kv_bytes_per_token_full}};
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// "summary, W = 32 chunks (256 tokens)"
std::string shown_sight(const CheckpointReport& report, const LayerReport& layer) {
  if (layer.sight == "summary") {
    return fmt::format("summary, W = {} chunks ({} tokens)", layer.window, layer.window * report.chunk_text);
  }
  if (layer.sight == "window") return fmt::format("window of {} tokens", layer.window);
  return layer.sight;
}

// "0-2", "3"
std::string shown_run(std::size_t begin, std::size_t end) {
  return end - begin == 1 ? fmt::format("{}", begin) : fmt::format("{}-{}", begin, end - 1);
}

// Neighbours of equal sight in one line.
std::string layer_lines(const CheckpointReport& report) {
  const auto& layer = report.layer;
  std::string lines;
  for (std::size_t begin = 0; begin < layer.size();) {
    std::size_t end = begin + 1;
    while (end < layer.size() && layer[end].sight == layer[begin].sight && layer[end].window == layer[begin].window) {
      ++end;
    }
    lines += fmt::format("  {:<9} {}\n", shown_run(begin, end), shown_sight(report, layer[begin]));
    begin = end;
  }
  return lines;
}

// At most eight names, then a count.
std::string shown_names(const std::vector<std::string>& names) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t at = 0; at < names.size() && at < most; ++at) text += (at == 0 ? "" : ", ") + names[at];
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

std::string report_text(const CheckpointReport& report) {
  const auto line = [](std::string_view name, std::string_view value) {
    return fmt::format("{:<12} {}\n", name, value);
  };
  const auto bytes = [](std::int64_t value) { return shown_bytes(static_cast<double>(value)); };
  std::string text = line("family", report.family);
  text += line("parameters", fmt::format("{} in {} tensors, {}", shown_count(report.parameters),
                                         shown_count(report.tensors), bytes(report.bytes)));
  std::string types;
  for (const auto& [type, size] : report.bytes_by_type) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, bytes(size));
  }
  if (!report.quantized.empty()) types += fmt::format(" (quantized to {})", report.quantized);
  text += line("stored as", types);
  text += line("files", shown_names(report.files));
  text += line("sizes", fmt::format("{} layers, hidden {}, ffn {}, heads {}, KV heads {}, head size {}", report.layers,
                                    report.hidden, report.ffn, report.heads, report.kv_heads, report.head_dim));
  text += line("vocabulary",
               fmt::format("{} ids ({} embeddings, {})", shown_count(report.vocabulary), shown_count(report.embeddings),
                           report.tied_head ? "tied to the head" : "a head of its own"));
  text += line("context", fmt::format("{} text tokens", shown_count(report.context)));
  text += line("rope", report.rope);
  if (report.chunk_text > 0) {
    text += line("summaries", fmt::format("{} for each chunk of {} text tokens; {}", report.chunk_summary,
                                          report.chunk_text, report.summary));
  }
  text +=
      line("KV", fmt::format("{} a text token if every layer kept it (bf16)", bytes(report.kv_bytes_per_token_full)));
  text += "layers\n" + layer_lines(report);
  if (!report.unused.empty()) text += line("unused", shown_names(report.unused));
  return text;
}

}  // namespace

Command add_inspect(CLI::App& program) {
  CLI::App* app = add_command(program, "inspect", "what a checkpoint is: family, layers, parameters, bytes", kExamples);
  const auto target = std::make_shared<InspectFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->model);
  flags.flag("--json", target->json, "as a JSON object");
  return {app, [target] {
            const CheckpointReport report = inspect(target->model);
            Output().write(target->json ? report_json(report) : report_text(report));
            return static_cast<int>(done);
          }};
}

}  // namespace precis
