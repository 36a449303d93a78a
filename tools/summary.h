// What a run says at its end: speed, memory, KV entries and bytes beside the formula's, and a hash of the last logits.
#pragma once

#include <vector>

#include "answer.h"
#include "precis/memory_report.h"
#include "terminal.h"

namespace precis {

// Lines about one answer. `full`: a table of KV entries, a row a kind, instead of one line.
void note_answer(const Notes& notes, const Answer& answer, bool full);
// Rates of a batch taken together; `seconds` of wall-clock time.
void note_batch(const Notes& notes, const std::vector<Answer>& answers, double seconds);
// A table of KV entries, a row a kind.
void note_kv(const Notes& notes, const KvReport& kv);
void note_memory(const Notes& notes, const MemoryReport& memory, bool full);
// Each token with its log probability and alternatives.
void note_logprobs(const Notes& notes, const Answer& answer, const TextCodec& codec);

}  // namespace precis
