#include "memory_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "numbers.h"

namespace precis {

namespace {

using Row = std::vector<std::string>;

std::string shown(std::int64_t bytes) {
  return shown_bytes(static_cast<double>(bytes));
}

// "+1.2 %": what was measured against what was predicted.
std::string shown_difference(std::int64_t predicted, std::int64_t measured) {
  if (measured == 0) return "-";
  return fmt::format("{:+.2f} %", 100 * (static_cast<double>(predicted) / static_cast<double>(measured) - 1));
}

// Cells below their heads, right-aligned but for the first; a column in which every cell is empty is left out.
std::string aligned(const std::vector<Row>& rows) {
  std::string text;
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (std::size_t column = 0; column < widths.size(); ++column) {
    bool any = false;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      widths[column] = std::max(widths[column], rows[row][column].size());
      any |= row > 0 && !rows[row][column].empty();
    }
    if (!any) widths[column] = 0;
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < widths.size(); ++column) {
      if (widths[column] > 0) line += fmt::format("{}{:>{}}", line.empty() ? "" : "  ", row[column], widths[column]);
    }
    text += line + "\n";
  }
  return text;
}

const KvKind* kind_named(const KvReport& kv, std::string_view name) {
  const auto found =
      std::find_if(kv.kinds.begin(), kv.kinds.end(), [&](const KvKind& kind) { return kind.name == name; });
  return found == kv.kinds.end() ? nullptr : &*found;
}

// K and V of one kind, short vectors left out.
std::int64_t kind_bytes(const KvReport& kv, std::string_view name) {
  const KvKind* kind = kind_named(kv, name);
  return kind == nullptr ? 0 : kind->entries * (kind->entry_bytes - kind->short_bytes);
}

std::int64_t short_bytes(const KvReport& kv) {
  std::int64_t bytes = 0;
  for (const KvKind& kind : kv.kinds) bytes += kind.entries * kind.short_bytes;
  return bytes;
}

std::string empty_or(std::int64_t bytes) {
  return bytes == 0 ? "" : shown(bytes);
}

constexpr const char* kFull = "text in full layers";
constexpr const char* kWindows = "text in windows";
constexpr const char* kSummaries = "summaries";

std::string heading(const MemoryAnswer& answer) {
  const std::int64_t sequences = answer.plans.front().sequences;
  return fmt::format("{}: {}, {}, K and V as {}, {} sequence{}\n", answer.name, answer.family, answer.backend,
                     answer.kv_type, sequences, sequences == 1 ? "" : "s at once");
}

double kv_ratio(const MemoryPlan& plan) {
  return static_cast<double>(plan.kv.full_bytes) / static_cast<double>(std::max<std::int64_t>(plan.kv.held_bytes, 1));
}

std::string context_table(const MemoryAnswer& answer) {
  std::vector<Row> rows = {{"context", "full text", "windows", "summaries", "short keys", "KV held", "full attention",
                            "ratio", "a token", "KV pool", "far", "weights", "activations", "overhead", "total"}};
  for (const MemoryPlan& plan : answer.plans) {
    const KvReport& kv = plan.kv;
    rows.push_back({shown_count(plan.context), empty_or(kind_bytes(kv, kFull)), empty_or(kind_bytes(kv, kWindows)),
                    empty_or(kind_bytes(kv, kSummaries)), empty_or(short_bytes(kv)), shown(kv.held_bytes),
                    shown(kv.full_bytes), fmt::format("{:.2f}", kv_ratio(plan)),
                    shown(kv.held_bytes / std::max<std::int64_t>(plan.context, 1)), shown(plan.pool_bytes),
                    empty_or(plan.far_bytes), shown(plan.weight_bytes), shown(plan.activation_bytes),
                    shown(plan.overhead_bytes), shown(plan.total_bytes)});
  }
  return aligned(rows);
}

std::string line(std::string_view name, std::int64_t bytes, std::string_view note) {
  return fmt::format("{:<24} {:>9}   {}\n", name, shown(bytes), note);
}

std::string kv_lines(const MemoryPlan& plan) {
  const KvReport& kv = plan.kv;
  std::string text = line("K and V of a sequence", kv.formula_bytes,
                          fmt::format("at {} tokens, by formula; {} a token", shown_count(plan.context),
                                      shown(kv.formula_bytes / std::max<std::int64_t>(plan.context, 1))));
  for (const KvKind& kind : kv.kinds) {
    const std::int64_t bytes = kind.entry_bytes - kind.short_bytes;
    text += line("  " + kind.name, kind.entries * bytes,
                 fmt::format("{} layers, {} entries of {} B{}", kind.layers, shown_count(kind.entries / kind.layers),
                             shown_count(bytes), kind.far ? ", in far memory" : ""));
    if (kind.short_bytes == 0) continue;
    text += line("    short keys", kind.entries * kind.short_bytes,
                 fmt::format("{} B each, to select by", shown_count(kind.short_bytes)));
  }
  const double rounding =
      100 * (static_cast<double>(kv.held_bytes) / static_cast<double>(std::max<std::int64_t>(kv.formula_bytes, 1)) - 1);
  text +=
      line("  in whole pages", kv.held_bytes, fmt::format("of {} entries: {:.2f} % more", kv.page_entries, rounding));
  text += line("  full attention", kv.full_bytes,
               fmt::format("the same model with all text in all layers: {:.2f} x", kv_ratio(plan)));
  return text;
}

std::string one_context(const MemoryAnswer& answer) {
  const MemoryPlan& plan = answer.plans.front();
  std::string formats;
  for (const auto& [format, bytes] : plan.weight_formats) {
    formats += fmt::format("{}{} {}", formats.empty() ? "" : ", ", format, shown(bytes));
  }
  std::string text = kv_lines(plan);
  text += line("weights", plan.weight_bytes, formats);
  text += line("KV pool", plan.pool_bytes,
               fmt::format("for {} sequence{} on {} way to {} tokens", plan.sequences, plan.sequences == 1 ? "" : "s",
                           plan.sequences == 1 ? "its" : "their", shown_count(plan.context)));
  text += line("activations", plan.activation_bytes, "rows of a step, and what operations take for themselves");
  text += line("overhead", plan.overhead_bytes,
               answer.backend == "cuda" ? "the driver, and this program's code" : "the program and its tokenizer");
  text += line("total", plan.total_bytes, "");
  if (plan.far_bytes > 0) {
    text += line("far memory", plan.far_bytes, "beside the total: the pool's K and V that --kv-offload moves");
  }
  return text;
}

std::string measured_table(const MemoryAnswer& answer) {
  std::vector<Row> rows = {{"context", "KV predicted", "active", "allocated", "reserved", "off", "total predicted",
                            "ledger", "process", "device", "off"}};
  for (std::size_t i = 0; i < answer.measured.size(); ++i) {
    const MemoryPlan& plan = answer.plans[i];
    const MeasuredMemory& is = answer.measured[i];
    rows.push_back({shown_count(plan.context), shown(is.predicted_kv_bytes), shown(is.active_bytes),
                    shown(is.allocated_bytes), shown(is.reserved_bytes),
                    shown_difference(is.predicted_kv_bytes, is.allocated_bytes), shown(plan.total_bytes),
                    shown(is.ledger.weight_bytes + is.ledger.workspace_bytes + is.ledger.pool_bytes),
                    shown(is.process_bytes), is.device_use ? shown(is.device_use->used_bytes) : "",
                    shown_difference(plan.total_bytes + (is.device_use ? 0 : plan.far_bytes), is.total_bytes())});
  }
  return fmt::format(
             "\nMeasured on {}. K and V: active, what later tokens can see; allocated, the pages that hold it; "
             "reserved, the pool. \"off\":\nwhat was predicted against what is allocated, and against what the {}.\n",
             answer.measured.front().device,
             answer.measured.front().device_use ? "device says" : "process held at most") +
         aligned(rows);
}

std::string fit_lines(const MemoryFit& fit) {
  std::string text = fmt::format("\nfits {}: a context of {} tokens for {} sequence{}", shown(fit.bytes),
                                 shown_count(fit.context), fit.sequences, fit.sequences == 1 ? "" : "s at once");
  for (const auto& [context, sequences] : fit.parallel) {
    text +=
        fmt::format("; {} sequence{} of {}", shown_count(sequences), sequences == 1 ? "" : "s", shown_count(context));
  }
  return text + "\n";
}

}  // namespace

std::string memory_text(const std::vector<MemoryAnswer>& answers) {
  std::string text;
  for (const MemoryAnswer& answer : answers) {
    if (!text.empty()) text += "\n";
    text += heading(answer);
    text += answer.plans.size() == 1 ? one_context(answer) : context_table(answer);
    if (!answer.measured.empty()) text += measured_table(answer);
    if (answer.fit) text += fit_lines(*answer.fit);
  }
  return text;
}

}  // namespace precis
