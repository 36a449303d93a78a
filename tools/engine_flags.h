// The flags that open an engine, the same for every command that does.
#pragma once

#include <cstdint>
#include <string>

#include "flags.h"
#include "precis/engine_options.h"

namespace precis {

// -m, --model.
void add_model_flag(Flags& flags, std::filesystem::path& target);
// --backend, --compute, --deterministic, --weights, --threads, --ctx-size, --piece, --esa and its kin: what changes
// speed and numbers.
void add_compute_flags(Flags& flags, EngineOptions& target);
// --parallel, --kv-cache-memory, --page-size, prefix cache: how many sequences share what memory. `sequences` stays
// empty unless the flag is given.
void add_memory_flags(Flags& flags, EngineOptions& target, std::optional<int>& sequences);

// Refuses a sequence of `length` tokens, which `what` makes, when --ctx-size (`asked`; 0: not given) or else what the
// model was made for is less.
void expect_context(const std::string& what, std::int64_t length, std::int64_t asked, std::int64_t of_model);

}  // namespace precis
