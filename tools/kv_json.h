// What K and V cost, for programs: alike in the answers of `precis run` and the plans of `precis memory`.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "precis/memory_report.h"

namespace precis {

nlohmann::ordered_json kv_json(const KvReport& kv);

}  // namespace precis
