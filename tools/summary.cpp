#include "summary.h"

#include <fmt/format.h>

#include "numbers.h"
#include "peak_memory.h"

namespace precis {

namespace {

// " (device 1.20 MB, far 34.0 MB)"; nothing where none is far.
std::string shown_places(std::int64_t device_bytes, std::int64_t far_bytes) {
  if (far_bytes == 0) return "";
  return fmt::format(" (device {}, far {})", shown_bytes(static_cast<double>(device_bytes)),
                     shown_bytes(static_cast<double>(far_bytes)));
}

std::string shown_held(const KvReport& kv) {
  return fmt::format("held {}{}, formula {}, full attention {}", shown_bytes(static_cast<double>(kv.held_bytes)),
                     shown_places(kv.device_bytes, kv.far_bytes), shown_bytes(static_cast<double>(kv.formula_bytes)),
                     shown_bytes(static_cast<double>(kv.full_bytes)));
}

void note_kv_line(const Notes& notes, const KvReport& kv) {
  std::string kinds;
  for (const KvKind& kind : kv.kinds) {
    kinds += fmt::format("{} {} (formula {}); ", kind.name, shown_count(kind.held_entries), shown_count(kind.entries));
  }
  notes.line(fmt::format("kv      {}{}", kinds, shown_held(kv)));
}

void note_kv_table(const Notes& notes, const KvReport& kv) {
  notes.line(fmt::format("kv      {} text tokens, pages of {} entries, {} bytes", shown_count(kv.tokens),
                         kv.page_entries, shown_count(kv.page_bytes)));
  constexpr const char* row = "        {:<22} {:>6} {:>13} {:>13} {:>15} {:>15}";
  notes.line(fmt::format(row, "", "layers", "entries", "formula", "bytes", "formula"));
  std::int64_t held_entries = 0;
  std::int64_t entries = 0;
  for (const KvKind& kind : kv.kinds) {
    notes.line(fmt::format(row, kind.name, kind.layers, shown_count(kind.held_entries), shown_count(kind.entries),
                           shown_count(kind.held_entries * kind.entry_bytes),
                           shown_count(kind.entries * kind.entry_bytes)));
    held_entries += kind.held_entries;
    entries += kind.entries;
  }
  notes.line(fmt::format(row, "all", "", shown_count(held_entries), shown_count(entries), shown_count(kv.held_bytes),
                         shown_count(kv.formula_bytes)));
  if (kv.far_bytes > 0) {
    notes.line(fmt::format(row, "of these: device", "", "", "", shown_count(kv.device_bytes), ""));
    notes.line(fmt::format(row, "of these: far", "", "", "", shown_count(kv.far_bytes), ""));
  }
  notes.line(fmt::format(row, "full attention", "", "", "", "", shown_count(kv.full_bytes)));
}

}  // namespace

void note_kv(const Notes& notes, const KvReport& kv) {
  note_kv_table(notes, kv);
}

void note_answer(const Notes& notes, const Answer& answer, bool full) {
  const Usage& usage = answer.usage;
  const std::string reused =
      usage.reused_tokens > 0 ? fmt::format(" ({} reused)", shown_count(usage.reused_tokens)) : "";
  notes.line(fmt::format("prompt  {} tokens{} in {:.3f} s, {:.1f} tokens/s", shown_count(usage.prompt_tokens), reused,
                         usage.prompt_seconds, prompt_rate(usage)));
  const std::string preempted = usage.preemptions > 0 ? fmt::format("; preempted {} times", usage.preemptions) : "";
  notes.line(fmt::format("answer  {} tokens in {:.3f} s, {:.1f} tokens/s; ended by {}{}",
                         shown_count(usage.answer_tokens), usage.answer_seconds, answer_rate(usage),
                         reason_name(answer.reason), preempted));
  if (full) {
    note_kv_table(notes, usage.kv);
  } else {
    note_kv_line(notes, usage.kv);
  }
  notes.line(fmt::format("logits  hash {:016x}", usage.logits_hash));
}

void note_batch(const Notes& notes, const std::vector<Answer>& answers, double seconds) {
  std::int64_t prompt = 0;
  std::int64_t tokens = 0;
  for (const Answer& answer : answers) {
    prompt += answer.usage.prompt_tokens;
    tokens += answer.usage.answer_tokens;
  }
  const double rate = seconds > 0 ? 1 / seconds : 0;
  notes.line(
      fmt::format("batch   {} prompts in {:.3f} s: {} prompt tokens, {:.1f} tokens/s; {} answer tokens, {:.1f} "
                  "tokens/s",
                  answers.size(), seconds, shown_count(prompt), static_cast<double>(prompt) * rate, shown_count(tokens),
                  static_cast<double>(tokens) * rate));
}

void note_memory(const Notes& notes, const MemoryReport& memory, bool full) {
  const auto shown = [](std::int64_t bytes) { return shown_bytes(static_cast<double>(bytes)); };
  std::string formats;
  for (const auto& [format, bytes] : memory.weight_formats) {
    formats += fmt::format("{}{} {}", formats.empty() ? "" : ", ", format, shown(bytes));
  }
  const std::string far = memory.far_bytes == 0 ? "" : fmt::format(" and {} far", shown(memory.far_bytes));
  notes.line(
      fmt::format("memory  peak {}; weights {} ({}), workspace {}, KV pool {}{}; the largest context that fits: {}",
                  shown(peak_memory()), shown(memory.weight_bytes), formats, shown(memory.workspace_bytes),
                  shown(memory.pool_bytes), far, shown_count(memory.largest_context)));
  if (!full) return;
  notes.line(fmt::format("pool    {} pages of {}; {} in use, {} cached prefixes among them", shown_count(memory.pages),
                         shown(memory.page_bytes), shown_count(memory.pages_used),
                         shown_count(memory.cached_prefixes)));
  if (memory.far_bytes > 0) {
    notes.line(fmt::format("        {} far pages of {}; {} in use", shown_count(memory.far_pages),
                           shown(memory.far_page_bytes), shown_count(memory.far_pages_used)));
  }
  notes.line(fmt::format("cache   {}; {} hits, {} tokens not computed again, {} left for want of room; {} preemptions",
                         shown(memory.cached_bytes), shown_count(memory.prefix_hits), shown_count(memory.prefix_tokens),
                         shown_count(memory.prefix_evictions), shown_count(memory.preemptions)));
}

void note_logprobs(const Notes& notes, const Answer& answer, const TextCodec& codec) {
  for (const AnswerToken& token : answer.tokens) {
    std::string line =
        fmt::format("{:>8} {:<20} {:9.4f}", token.id, shown_text(codec.piece(token.id)), token.logprob.value_or(0));
    for (const TokenLogprob& other : token.top) {
      line += fmt::format("  {} {:.4f}", shown_text(codec.piece(other.id)), other.logprob);
    }
    notes.line(line);
  }
}

}  // namespace precis
