// precis eval needle: facts planted in a text, and whether a model finds them.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>

#include "engine_flags.h"
#include "eval.h"
#include "input.h"
#include "needle_document.h"
#include "needle_result.h"
#include "needle_runner.h"
#include "needle_text.h"
#include "numbers.h"
#include "outcome.h"
#include "output_file.h"
#include "precis/checkpoint_report.h"
#include "precis/engine.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis eval needle -m models/demo-ksa --text book.txt --lengths 4k,8k,16k --svg needles.svg
  precis eval needle -m models/demo-ksa --text book.txt --needles 4 --files 5 --json needles.json
  precis eval needle -m models/demo-ksa --text book.txt --questions 5       (five questions in one chat)
  precis eval needle -m models/demo-ksa --text book.txt --all               (one question for five facts)
  precis eval needle -m models/demo-ksa --needle-file needles/needles.json --kv-cache-dtype fp8

A document is a stretch of the texts, which are read as a ring, with sentences such as "Remember that the secret code of
Nora Reed is 40718." planted between its own sentences, each on a line. The model is asked "What is Nora Reed's secret
code?" behind it, in a chat; the most likely token is chosen. Length: the whole conversation, with room for all replies
of --max-tokens, to within a sentence; "prompt tokens" says what it came to. Depth: percent of the text's bytes before
the fact, to within a sentence. The same seed, texts, tokenizer and flags make the same documents on every machine.

One document a length and depth, --files times. With --questions N one document is asked about N of the depths, one
after the other in one chat, whose K and V stay (--apart: each in a chat of its own). With --all one question asks for
the facts at all depths, which must all be in one reply.

A reply is right if all of these hold: the model ended it itself; every wanted answer stands in it as a whole word
(upper and lower case are the same); and it names nothing else of an answer's kind: for a number no other number of as
many digits, for a colour, pet or town no other one. Of a reply to --all whose first and last rule hold, the answers that
are in it count in their cells, but the question is right only with all of them.

--needle-file: a JSON list of {"file", "question", "answers": [TEXT, ...], "depth": 0 to 1}; files lie beside the list.
Results go to standard output, progress to a terminal's standard error. Ctrl-C prints what is there (exit code 130).
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong, 130 interrupted.)";

constexpr std::int64_t kMaxTokens = std::int64_t{1} << 28;
constexpr std::int64_t kMaxNeedles = 1000;

struct NeedleFlags {
  EngineOptions engine;
  std::optional<int> sequences;
  std::vector<std::string> texts;
  std::string needle_file;
  NeedlePlan plan;
  std::vector<Flag> of_plan;  // what --needle-file excludes
  ChatForm form;              // but for its reply
  std::optional<std::int64_t> max_tokens;
  std::string json;
  std::string svg;

  ChatForm chat_form() const {
    ChatForm chat = form;
    const auto further = plan.all ? static_cast<std::int64_t>(plan.depths.size()) - 1 : 0;
    chat.reply = max_tokens.value_or(64 + 32 * further);
    return chat;
  }
};

void add_flags(CLI::App& app, NeedleFlags& needle) {
  NeedlePlan& plan = needle.plan;
  plan.lengths = {4096, 8192, 16384, 32768};
  plan.depths = {0, 25, 50, 75, 100};
  Flags flags(app);
  flags.heading("Documents");
  add_model_flag(flags, needle.engine.model);
  flags.texts("--text", "FILE", needle.texts,
              "text to plant in, or - for standard input; several times: one behind the other");
  needle.of_plan = {
      flags.counts("--lengths", "TOKENS", plan.lengths, 1, kMaxTokens, "a list (default 4k,8k,16k,32k)"),
      flags.counts("--depths", "PERCENT", plan.depths, 0, 100, "a list (default 0,25,50,75,100)"),
      flags.count("--needles", "N", plan.needles, 1, kMaxNeedles,
                  "facts a document; those that nobody asks for lie anywhere (default: as many as are asked for)"),
      flags.count("--files", "N", plan.files, 1, 1'000'000, "documents a length and depth (default 1)"),
      flags.count("--seed", "N", plan.seed, 0, std::numeric_limits<std::int64_t>::max(),
                  "of texts, facts and questions (default 0)"),
      flags.count("--questions", "N", plan.questions, 1, 101, "depths that one document is asked about (default 1)"),
      flags.flag("--all", plan.all, "one question for the facts at all depths")};
  flags.text("--needle-file", "FILE", needle.needle_file, "instead: documents and questions from a JSON list");
  flags.heading("Questions");
  flags.flag("--apart", needle.form.apart, "each question in a chat of its own");
  flags.count("-n,--max-tokens", "N", needle.max_tokens, 1, kMaxTokens,
              "tokens of a reply, at most (default 64, with --all 32 more for each further fact)");
  flags.text("--chat-template", "NAME|FILE", needle.form.chat_template,
             "instead of the model's own: chatml, llama-3, mistral, gemma, zephyr, phi-3 or a Jinja file");
  flags.heading("Output");
  flags.text("--json", "FILE", needle.json, "every case as JSON; -: on standard output, instead of the table");
  flags.text("--svg", "FILE", needle.svg, "the table as a heat map");
  add_compute_flags(flags, needle.engine);
  add_memory_flags(flags, needle.engine, needle.sequences);
}

void check_flags(const NeedleFlags& flags) {
  if (flags.texts.empty() == flags.needle_file.empty()) {
    throw std::runtime_error(flags.texts.empty() ? "--text or --needle-file is expected"
                                                 : "--needle-file: not with --text");
  }
  for (const Flag& flag : flags.of_plan) {
    if (!flags.needle_file.empty() && flag.given()) {
      throw std::runtime_error(flag.name() + ": not with --needle-file, which says it");
    }
  }
  if (flags.sequences) throw std::runtime_error("--parallel: not here, where one question is asked after the other");
  flags.plan.check();
}

// The documents of a run: read before it begins, or each made when it is due.
class Documents {
 public:
  // Complains of whatever is wrong with flags and files. `of_model`: tokens that the model was made for.
  Documents(const NeedleFlags& flags, std::int64_t of_model)
      : plan_(flags.plan), form_(flags.chat_form()), codec_(flags.engine.model) {
    const auto allow = [&](const std::string& what, std::int64_t tokens) {
      expect_context(what, tokens, flags.engine.context, of_model);
      longest_ = std::max(longest_, tokens);
    };
    if (flags.needle_file.empty()) {
      for (const std::int64_t length : plan_.lengths) allow(fmt::format("--lengths: {} given", length), length);
      read_texts(flags.texts);
    } else {
      read_ = read_documents(flags.needle_file, codec_, form_);
      for (const NeedleDocument& document : read_) {
        allow(fmt::format("--needle-file: {} comes to {} tokens", document.file, document.tokens), document.tokens);
      }
    }
  }

  std::size_t count() const { return read_.empty() ? places_.size() : read_.size(); }
  NeedleDocument document(std::size_t index) const {
    return read_.empty() ? make_document(plan_, places_[index], *text_, codec_, form_) : read_[index];
  }
  const ChatForm& form() const { return form_; }
  // Tokens of the longest conversation, at most.
  std::int64_t longest() const { return longest_; }

 private:
  // Makes one document of each length, so that what cannot be had is known before anything is measured.
  void read_texts(const std::vector<std::string>& files) {
    std::vector<std::string> texts;
    for (const std::string& file : files) texts.push_back(read_input("--text", file));
    text_.emplace(texts);
    places_ = places_of(plan_);
    std::int64_t made = 0;
    for (const NeedlePlace& place : places_) {
      if (place.length != made) make_document(plan_, place, *text_, codec_, form_);
      made = place.length;
    }
  }

  NeedlePlan plan_;
  ChatForm form_;
  TextCodec codec_;
  std::vector<NeedleDocument> read_;  // or
  std::optional<NeedleText> text_;
  std::vector<NeedlePlace> places_;
  std::int64_t longest_ = 0;
};

EngineOptions engine_options(const NeedleFlags& flags, const CheckpointReport& model, std::int64_t longest) {
  EngineOptions options = flags.engine;
  options.context = longest;
  // Pages that left a window stay with the document for the next question: room for one more window.
  const bool has_windows = std::any_of(model.layer.begin(), model.layer.end(),
                                       [](const LayerReport& layer) { return layer.sight != "full"; });
  options.max_sequences = has_windows && flags.plan.questions > 1 ? 2 : 1;
  return options;
}

// What was measured when somebody interrupts stays in the report.
void ask_all(const Documents& documents, NeedleRunner& runner, Notes& notes, NeedleReport& report) {
  for (std::size_t index = 0; index < documents.count(); ++index) {
    const NeedleDocument document = documents.document(index);
    const auto told = [&](std::size_t turn) {
      std::string line =
          fmt::format("{} tokens: document {} of {}", shown_tokens(document.length), index + 1, documents.count());
      if (document.questions.size() > 1) {
        line += fmt::format(", question {} of {}", turn + 1, document.questions.size());
      }
      notes.passing(line + " ...");
    };
    runner.ask(document, index, told, [&](NeedleResult result) { report.results.push_back(std::move(result)); });
  }
}

int run_needle(const NeedleFlags& flags) {
  check_flags(flags);
  const bool json_out = flags.json == "-";
  OutputFile json("--json", json_out ? "" : flags.json);
  OutputFile svg("--svg", flags.svg);
  Notes notes;
  const CheckpointReport model = inspect(flags.engine.model);
  const Documents documents(flags, model.context);
  NeedleReport report;
  report.options = engine_options(flags, model, documents.longest());
  report.seed = flags.plan.seed;
  report.generated = flags.needle_file.empty();
  notes.passing("opening the model ...");
  Engine engine(report.options);
  report.device = engine.device();
  NeedleRunner runner(engine, documents.form());
  const Interrupt interrupt([&] { runner.cancel(); });
  try {
    ask_all(documents, runner, notes, report);
  } catch (const RunFailure&) {
    notes.clear_passing();
    if (!runner.cancelled()) throw;
  }
  notes.clear_passing();
  Output().write(json_out ? needle_json(report) : needle_text(report));
  json.write(needle_json(report));
  svg.write(needle_svg(report));
  return interrupt.signal() == 0 ? done : 128 + interrupt.signal();
}

}  // namespace

Command add_eval_needle(CLI::App& eval) {
  CLI::App* app = add_command(eval, "needle", "whether a model finds facts planted in long texts", kExamples);
  const auto flags = std::make_shared<NeedleFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return run_needle(*flags); }};
}

}  // namespace precis
