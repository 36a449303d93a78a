#include "engine/fingerprint.h"

#include <algorithm>

#include "base/error.h"
#include "checkpoint/fields.h"
#include "families/quantization.h"

namespace precis {
namespace {

std::string projections_hash(const EsaCalibration& calibration) {
  std::string hashes;
  for (const EsaLayer& layer : calibration.layers) {
    for (const std::vector<float>* rows : {&layer.q, &layer.k}) {
      hashes += content_hash(std::as_bytes(std::span(*rows)));
    }
  }
  return content_hash(std::as_bytes(std::span(hashes)));
}

// Where layers select, how a prompt is cut is part of what is computed.
std::string selection(const EngineOptions& options, const ModelSpec& spec, const SchedulerOptions& scheduling,
                      const std::optional<EsaCalibration>& calibration) {
  if (!spec.esa || !calibration) return "off";
  const EsaRule& esa = *spec.esa;
  return fmt::format(
      "on (initial {}, local {}, top {}, proximity {}, {} numbers, positions {}, layers {}, piece {}, prefix distance "
      "{}, projections {})",
      esa.initial, esa.local, esa.top, esa.proximity, esa.dim, options.esa_positions, options.esa_layers,
      scheduling.piece, scheduling.prefix_distance, projections_hash(*calibration));
}

// Files are told apart by what is in them; what is quantized at load, by the name of its format and what that meant.
std::string shown_weights(const EngineOptions& options) {
  if (options.weights.empty()) return "as stored";
  if (options.weights == "q8") return options.weights;
  const std::string bits = options.bits ? fmt::format(", {} bits", *options.bits) : "";
  return fmt::format("{}{} (version {})", options.weights, bits, quantization_version);
}

// No control characters, and no line that nobody reads to its end.
std::string shown(std::string_view value) {
  constexpr std::size_t longest = 240;
  return printable(value.substr(0, longest));
}

}  // namespace

Fingerprint settings_fingerprint(const EngineOptions& options, const ModelSpec& spec, const KvGeometry& geometry,
                                 const SchedulerOptions& scheduling, std::string_view device,
                                 const std::optional<EsaCalibration>& calibration) {
  return {
      {"kv_cache_dtype", std::string(name_of(geometry.type))},
      {"page_entries", std::to_string(geometry.page_entries)},
      {"weights", shown_weights(options)},
      {"compute", options.compute},
      {"rope_frequencies", options.rope_frequencies},
      {"esa", selection(options, spec, scheduling, calibration)},
      {"deterministic", scheduling.deterministic ? "on" : "off"},
      {"backend", std::string(device.substr(0, device.find(' ')))},
  };
}

void expect_equal(const Fingerprint& saved, const Fingerprint& own) {
  for (const auto& [name, value] : own) {
    const auto found = std::ranges::find(saved, name, &Fingerprint::value_type::first);
    if (found == saved.end()) fail("{}: missing, this engine has {}", name, value);
    if (found->second != value) fail("{}: saved with {}, this engine has {}", name, shown(found->second), value);
  }
  if (saved.size() != own.size()) fail("fingerprint: {} fields, expected {}", saved.size(), own.size());
}

}  // namespace precis
