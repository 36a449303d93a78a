#include "kv_json.h"

#include <nlohmann/json.hpp>

namespace precis {

nlohmann::ordered_json kv_json(const KvReport& kv) {
  auto kinds = nlohmann::ordered_json::array();
  for (const KvKind& kind : kv.kinds) {
    kinds.push_back({{"name", kind.name},
                     {"layers", kind.layers},
                     {"entries", kind.entries},
                     {"held_entries", kind.held_entries},
                     {"entry_bytes", kind.entry_bytes},
                     {"short_bytes", kind.short_bytes},
                     {"far", kind.far}});
  }
  return {{"tokens", kv.tokens},
          {"kinds", std::move(kinds)},
          {"formula_bytes", kv.formula_bytes},
          {"held_bytes", kv.held_bytes},
          {"device_bytes", kv.device_bytes},
          {"far_bytes", kv.far_bytes},
          {"full_attention_bytes", kv.full_bytes},
          {"page_entries", kv.page_entries},
          {"page_bytes", kv.page_bytes}};
}

}  // namespace precis
