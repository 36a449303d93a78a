// precis run: answers to prompts, one or a batch.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>

#include "answer.h"
#include "commands.h"
#include "engine_flags.h"
#include "input.h"
#include "numbers.h"
#include "outcome.h"
#include "precis/engine.h"
#include "sampling_flags.h"
#include "summary.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kExamples = R"(Examples:
  precis run -m models/demo-ksa -p "It was a dark night" -n 200 --temp 0.8 --seed 1
  precis run -m models/demo-ksa --chat -f book.txt -p "What is the secret code of Ann Lee?" --temp 0
  precis run -m models/demo-ksa -p "Once" -p "Twice" --json      (a batch; one line of JSON each)
  tail -c 4000 story.txt | precis run -m models/demo-ksa

Counts may end in k, M, G (powers of 1024): -c 32k. Text goes to standard output, all else to standard error.
Ctrl-C ends the answer and prints the summary (exit code 130); a second one ends the program.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong, 130 interrupted.)";

struct RunFlags {
  EngineOptions engine;
  std::optional<int> sequences;
  SamplingFlags sampling;
  std::vector<std::string> prompts;
  std::optional<std::string> file;
  bool chat = false;
  bool parse_special = false;
  std::optional<std::string> system;
  std::optional<std::string> chat_template;
  bool json = false;
  bool stats = false;
  bool verbose = false;
};

void add_flags(CLI::App& app, RunFlags& run) {
  Flags flags(app);
  flags.heading("Model and prompt");
  add_model_flag(flags, run.engine.model);
  flags.texts("-p,--prompt", "TEXT", run.prompts, "the prompt; given several times: a batch");
  flags.text("-f,--file", "FILE", run.file,
             "a text file, or - for standard input; with -p: the file's text, a newline, the prompt");
  flags.flag("--chat", run.chat, "ask it as a user of a chat: one turn through the model's template");
  flags.text("--system,--system-prompt", "TEXT", run.system, "with --chat: what the system says first");
  flags.text("--chat-template", "NAME|FILE", run.chat_template,
             "with --chat, instead of the model's own: chatml, llama-3, mistral, gemma, zephyr, phi-3 or a Jinja file");
  flags.flag("--parse-special", run.parse_special,
             "special tokens written in the prompt are special (without: they are text)");
  run.sampling.add(flags);
  add_compute_flags(flags, run.engine);
  add_memory_flags(flags, run.engine, run.sequences);
  flags.heading("Output");
  flags.flag("--json", run.json, "one JSON object an answer on standard output: text, ids, usage, kv");
  flags.flag("--stats", run.stats, "KV entries and bytes by kind in full");
  flags.flag("-v,--verbose", run.verbose, "say what is opened");
}

// The texts to ask, before any template.
std::vector<std::string> prompt_texts(const RunFlags& run) {
  std::optional<std::string> file = run.file;
  if (!file && run.prompts.empty()) {
    if (input_is_terminal())
      throw std::runtime_error("a prompt is expected: -p TEXT, -f FILE, or text on standard input");
    file.emplace("-");
  }
  if (!file) return run.prompts;
  const std::string text = read_input("--file", *file);
  if (run.prompts.empty()) return {text};
  std::vector<std::string> texts;
  for (const std::string& prompt : run.prompts) texts.push_back(text + "\n" + prompt);
  return texts;
}

std::vector<std::int32_t> prompt_ids(const RunFlags& run, const TextCodec& codec, const std::string& text) {
  if (!run.chat) return run.parse_special ? codec.encode(text, true) : codec.encode_prompt(text);
  std::vector<ChatMessage> messages;
  if (run.system) messages.push_back({"system", *run.system});
  messages.push_back({"user", text});
  return codec.encode_chat(messages, run.chat_template.value_or(""));
}

void check_flags(const RunFlags& run) {
  const auto needs_chat = [&](const auto& flag, const char* name) {
    if (flag && !run.chat) throw std::runtime_error(fmt::format("{}: only with --chat", name));
  };
  needs_chat(run.system, "--system");
  needs_chat(run.chat_template, "--chat-template");
  if (run.chat && run.parse_special) throw std::runtime_error("--parse-special: not with --chat");
}

// Runs requests and prints their answers in order.
class Runner {
 public:
  Runner(const RunFlags& flags, Engine& engine) : flags_(flags), engine_(engine) {}

  int run(std::vector<std::string> texts);

 private:
  void print(std::size_t index);
  void note_end(double seconds);

  const RunFlags& flags_;
  Engine& engine_;
  Output output_;
  Notes notes_;
  std::vector<std::string> texts_;
  std::vector<Stream> streams_;
  std::vector<Answer> answers_;
};

int Runner::run(std::vector<std::string> texts) {
  texts_ = std::move(texts);
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string& text : texts_) {
    std::vector<std::int32_t> ids = prompt_ids(flags_, engine_.text(), text);
    if (ids.empty()) throw std::runtime_error("the prompt is empty, and the model has no bos to begin with");
    streams_.push_back(
        engine_.submit(flags_.sampling.request(std::move(ids), engine_.default_sampling(), engine_.context())));
  }
  const Interrupt interrupt([this] {
    for (Stream& stream : streams_) stream.cancel();
  });
  answers_.resize(streams_.size());
  for (std::size_t index = 0; index < streams_.size(); ++index) print(index);
  if (output_.closed()) return done;
  note_end(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());

  const auto failed = std::find_if(answers_.begin(), answers_.end(),
                                   [](const Answer& answer) { return answer.reason == EndReason::failed; });
  if (failed != answers_.end()) throw RunFailure(failed->error);
  return interrupt.signal() == 0 ? done : 128 + interrupt.signal();
}

// The answer as it comes, or its JSON when it is there.
void Runner::print(std::size_t index) {
  if (texts_.size() > 1) {
    notes_.heading(fmt::format("[{}/{}] {}", index + 1, texts_.size(), shown_text(texts_[index])));
  }
  Answer& answer = answers_[index];
  notes_.passing("reading the prompt ...");
  output_.begin_text();
  for (bool end = false; !end;) {
    const TokenEvent event = streams_[index].next();
    end = event.end;
    notes_.clear_passing();
    answer.add(event);
    if (!flags_.json) output_.write(event.text);
    if (output_.closed()) {
      for (Stream& stream : streams_) stream.cancel();
    }
  }
  if (flags_.json) {
    output_.write(answer_json(answer, index, engine_.text()) + "\n");
  } else if (output_.inside_line()) {
    output_.write("\n");
  }
}

void Runner::note_end(double seconds) {
  for (std::size_t index = 0; index < answers_.size(); ++index) {
    if (answers_.size() > 1) notes_.heading(fmt::format("[{}/{}]", index + 1, answers_.size()));
    const Answer& answer = answers_[index];
    if (!flags_.json && !answer.tokens.empty() && answer.tokens[0].logprob) {
      note_logprobs(notes_, answer, engine_.text());
    }
    note_answer(notes_, answer, flags_.stats);
  }
  if (answers_.size() > 1) note_batch(notes_, answers_, seconds);
  note_memory(notes_, engine_.memory(), flags_.stats);
}

int run_prompts(const RunFlags& flags) {
  check_flags(flags);
  flags.sampling.request({}, {}, 0);  // complains of flags before a model is loaded
  std::vector<std::string> texts = prompt_texts(flags);
  EngineOptions options = flags.engine;
  options.max_sequences = flags.sequences.value_or(static_cast<int>(std::min<std::size_t>(texts.size(), 16)));
  Engine engine(options);
  if (flags.verbose) {
    Notes().line(fmt::format("model   {}: {} text tokens of context (made for {}), {} ids, on {}",
                             options.model.string(), shown_count(engine.context()), shown_count(engine.model_context()),
                             shown_count(engine.vocabulary()), engine.device()));
  }
  return Runner(flags, engine).run(std::move(texts));
}

}  // namespace

Command add_run(CLI::App& program) {
  CLI::App* app =
      add_command(program, "run", "generate text from a prompt, or answer a question about a document", kExamples);
  const auto flags = std::make_shared<RunFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return run_prompts(*flags); }};
}

}  // namespace precis
