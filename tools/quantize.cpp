// precis quantize: a checkpoint written anew with weights of 8, 6, 5 or 4 bits.
#include "precis/quantize.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "commands.h"
#include "engine_flags.h"
#include "input.h"
#include "numbers.h"
#include "outcome.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis quantize -m models/demo-ksa -o /tmp/demo-ksa-q8 --weights q8
  precis quantize -m models/demo-ksa -o /tmp/demo-ksa-q4 --weights q4 --calibrate novel.txt --calibrate news.txt
  precis quantize -m models/demo-ksa -o /tmp/demo-ksa-6 --weights q4 --calibrate novel.txt --bits 6
  precis run -m /tmp/demo-ksa-q8 -p "It was a dark night"
  precis eval kl -m /tmp/demo-ksa-q8 --against models/demo-ksa -f book.txt     (what it costs)

The folder appears whole or not at all. Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is
wrong, 130 interrupted.)";

// "q5: down_proj 12 of 16, o_proj; q4: ...": which matrices have which format.
std::string shown_formats(const QuantizeReport& report) {
  std::string shown;
  for (const auto& [format, bytes] : report.bytes_by_type) {
    std::string kinds;
    for (const MatrixKind& kind : report.kinds) {
      const auto found = kind.formats.find(format);
      if (found == kind.formats.end()) continue;
      kinds += fmt::format("{}{}", kinds.empty() ? "" : ", ", kind.name);
      if (found->second < kind.matrices) kinds += fmt::format(" {} of {}", found->second, kind.matrices);
    }
    if (!kinds.empty()) shown += fmt::format("; {}: {}", format, kinds);
  }
  return shown;
}

void note_formats(const Notes& notes, const QuantizeReport& report) {
  if (report.kinds.empty()) return;
  notes.line(fmt::format("bits     {:.2f} a weight{}", report.bits, shown_formats(report)));
  if (!report.expected_cost) return;
  notes.line(
      fmt::format("cost     {:.2g} nats a token: what each matrix costs alone, added up", *report.expected_cost));
}

void note_report(const Notes& notes, const QuantizeReport& report, double seconds) {
  const auto shown = [](std::int64_t bytes) { return shown_bytes(static_cast<double>(bytes)); };
  std::string types;
  for (const auto& [type, bytes] : report.bytes_by_type) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, shown(bytes));
  }
  notes.line(fmt::format("weights  {} -> {} ({}) in {:.2f} s, {} {}", shown(report.bytes_before), shown(report.bytes),
                         types, seconds, report.files.size(), report.files.size() == 1 ? "file" : "files"));
  note_formats(notes, report);
  if (report.calibrated > 0) notes.line(fmt::format("calibrated on {} tokens", shown_count(report.calibrated)));
  const auto list = [&](const char* heading, const std::vector<std::string>& names) {
    if (names.empty()) return;
    const std::string more = names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : "";
    notes.line(fmt::format("{}  {}{}", heading, names.front(), more));
  };
  list("plain   ", report.plain);
  list("left out", report.left_out);
}

struct QuantizeFlags {
  QuantizeOptions options;
  std::vector<std::string> calibration;  // files
};

int run_quantize(const QuantizeFlags& flags) {
  Notes notes;
  const Interrupt interrupt([] {});
  QuantizeOptions options = flags.options;
  for (const std::string& file : flags.calibration) options.calibration.push_back(read_input("--calibrate", file));
  options.progress = [&](std::int64_t written, std::int64_t bytes) {
    notes.passing(bytes == 0 ? "measuring what four bits cost ..."
                             : fmt::format("{} of {} written ...", shown_bytes(static_cast<double>(written)),
                                           shown_bytes(static_cast<double>(bytes))));
    return interrupt.signal() == 0;
  };
  const auto begin = std::chrono::steady_clock::now();
  const auto work = [&] {
    try {
      return quantize(options);
    } catch (...) {
      notes.clear_passing();
      throw;
    }
  };
  const QuantizeReport report = work();
  notes.clear_passing();
  if (report.stopped) return 128 + interrupt.signal();
  note_report(notes, report, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return done;
}

}  // namespace

Command add_quantize(CLI::App& program) {
  CLI::App* app =
      add_command(program, "quantize", "write a checkpoint anew with weights of 8, 6, 5 or 4 bits", kExamples);
  const auto target = std::make_shared<QuantizeFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->options.model);
  flags.path("-o,--output", "DIR", target->options.output, "folder to make; nothing or an empty folder must be there")
      .required();
  flags
      .text("--weights", "FORMAT", target->options.weights,
            "q8 (8.5 bits a weight), q6 (6.5), q5 (5.5) or q4 (4.5); the most sensitive matrices get more")
      .required();
  flags.texts("--calibrate", "FILE", target->calibration,
              "text to round the weights on, so that what layers compute changes least; several times: several files");
  flags.count("--calibrate-tokens", "N", target->options.calibration_tokens, 1, std::int64_t{1} << 28,
              "tokens of it that are used, at most, from all its parts (default 32k)");
  flags.number(
      "--bits", "N", target->options.bits, 4.5, 8.5,
      "with q4: bits a weight, 4.5 to 8.5; spent on q5, q6 and q8 for the matrices that four bits harm most: with\n"
      "--calibrate measured on the text, else those that usually are (default: by role, see docs)");
  flags.count("-t,--threads", "N", target->options.threads, 0, 1024,
              "threads; 0: one a physical core (the bytes stay the same)");
  flags.bytes("--shard-size", "BYTES", target->options.shard_bytes, "largest tensor file, such as 2G (default 4G)");
  return {app, [target] { return run_quantize(*target); }};
}

}  // namespace precis
