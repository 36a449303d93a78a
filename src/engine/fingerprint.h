// What K and V depend on: the fingerprint that a session carries.
#pragma once

#include <optional>
#include <string_view>

#include "esa/esa_file.h"
#include "kv/kv_geometry.h"
#include "model/model_spec.h"
#include "precis/engine_options.h"
#include "runtime/scheduler.h"
#include "session/session_file.h"

namespace precis {

// All but the model itself (ModelFiles::fingerprint). `device`: its description. Options that change no number are not
// among them.
Fingerprint settings_fingerprint(const EngineOptions& options, const ModelSpec& spec, const KvGeometry& geometry,
                                 const SchedulerOptions& scheduling, std::string_view device,
                                 const std::optional<EsaCalibration>& calibration);

// Throws Error that names the first thing that differs.
void expect_equal(const Fingerprint& saved, const Fingerprint& own);

}  // namespace precis
