// What a dialogue says about itself.
#include <fmt/format.h>

#include "dialogue.h"
#include "numbers.h"
#include "reading_progress.h"
#include "summary.h"

namespace precis {

void Dialogue::note_answer(const Answer& answer) {
  if (!notes_.terminal() && !options_.stats) return;
  const Usage& usage = answer.usage;
  notes_.dim(
      fmt::format("[{} tokens read, {} reused; first word after {:.2f} s; {} tokens said, {:.1f} tokens/s; KV {}]",
                  shown_count(usage.prompt_tokens - usage.reused_tokens), shown_count(usage.reused_tokens),
                  usage.wait_seconds + usage.prompt_seconds, shown_count(usage.answer_tokens), answer_rate(usage),
                  shown_bytes(static_cast<double>(usage.kv.held_bytes))));
}

void Dialogue::note_settings() const {
  const SamplingOptions sampling =
      options_.sampling.request({}, engine_.default_sampling(), engine_.context()).sampling;
  std::string line =
      fmt::format("temp {:g}, top-k {}, top-p {:g}, min-p {:g}, repeat-penalty {:g}", sampling.temperature,
                  sampling.top_k, sampling.top_p, sampling.min_p, sampling.repetition_penalty);
  for (const auto& [name, value] : options_.sampling.given()) line += fmt::format("; {} {} (set)", name, value);
  notes_.line(line);
}

void Dialogue::note_context() const {
  const ContextParts parts = conversation_.parts(text_);
  const std::int64_t context = engine_.context();
  notes_.line(fmt::format("context    {} of {} tokens used, {} left", shown_count(parts.all), shown_count(context),
                          shown_count(context - parts.all)));
  constexpr const char* row = "  {:<9} {:>9}  {}";
  std::int64_t documents = 0;
  std::string names;
  for (const auto& [name, tokens] : parts.documents) {
    documents += tokens;
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ", name, shown_count(tokens));
  }
  if (parts.system > 0) notes_.line(fmt::format(row, "system", shown_count(parts.system), ""));
  notes_.line(fmt::format(row, "documents", shown_count(documents), names));
  const std::size_t turns = conversation_.turns().size();
  std::size_t stopped = 0;
  for (const Turn& turn : conversation_.turns()) stopped += turn.stopped ? 1 : 0;
  notes_.line(fmt::format(row, "questions", shown_count(parts.questions),
                          fmt::format("{} question{}", turns, turns == 1 ? "" : "s")));
  notes_.line(fmt::format(row, "answers", shown_count(parts.answers),
                          stopped > 0 ? fmt::format("{} of them stopped", stopped) : ""));
  notes_.line(fmt::format(row, "template",
                          shown_count(parts.all - parts.system - documents - parts.questions - parts.answers), ""));
}

void Dialogue::note_memory() const {
  const MemoryReport memory = engine_.memory();
  if (kv_) note_kv(notes_, *kv_);
  precis::note_memory(notes_, memory, true);
  const double share =
      prompt_tokens_ > 0 ? 100.0 * static_cast<double>(reused_tokens_) / static_cast<double>(prompt_tokens_) : 0;
  notes_.line(fmt::format("prefix  {} of {} prompt tokens of this chat came from the cache ({:.1f} %)",
                          shown_count(reused_tokens_), shown_count(prompt_tokens_), share));
}

}  // namespace precis
