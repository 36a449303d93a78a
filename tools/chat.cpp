// precis chat: a conversation about documents, at a terminal or in a pipe.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>

#include "chat_commands.h"
#include "chat_input.h"
#include "chat_signals.h"
#include "commands.h"
#include "dialogue.h"
#include "engine_flags.h"
#include "input.h"
#include "line_editor.h"
#include "numbers.h"
#include "outcome.h"
#include "piped_lines.h"
#include "precis/engine.h"

namespace precis {

namespace {

constexpr const char* kHelpEnd = R"(Examples:
  precis chat -m models/demo-ksa -f book.txt
  precis chat -m models/demo-ksa -f book.txt --session book.chat        (goes on where it was left)
  precis chat -m models/demo-ksa -f book.txt -q "What is the secret code of Ann Lee?" --temp 0
  precis chat -m models/demo-ksa < questions.txt > answers.txt

At a terminal, Ctrl-C stops an answer or the reading, and what was said or read is kept; at the prompt it clears the
line. Ctrl-D leaves. In a pipe a line of standard input is a question, or a """ block; answers go to standard output,
all else to standard error. Texts of -q are questions, never commands. Ctrl-C ends it there (exit code 130).
A document goes before the question that follows it, in the same message: its text, a line feed, the question. Where
one message has several, each has its name and a colon on a line before it. What does not fit the context is refused.
What a model thinks between <think> and </think> stays in the conversation; the template says what later turns see.
Exit codes: 0 done, 1 the machine failed, 2 a flag, file, checkpoint or question is wrong, 130 interrupted.)";

struct ChatFlags {
  EngineOptions engine;
  std::optional<int> sequences;
  SamplingFlags sampling;
  std::vector<std::string> files;
  std::vector<std::string> questions;
  std::string system;
  std::string session;
  std::string chat_template;
  std::string show_thinking;
  bool stats = false;
};

void add_flags(CLI::App& app, ChatFlags& chat) {
  Flags flags(app);
  flags.heading("Model and conversation");
  add_model_flag(flags, chat.engine.model);
  flags.texts("-f,--file", "FILE", chat.files,
              "a text file to talk about, or - for standard input (then with -q); may be repeated");
  flags.text("--system,--system-prompt", "TEXT", chat.system, "what the system says first");
  flags.texts("-q,--question", "TEXT", chat.questions, "ask this and leave; may be repeated");
  flags.text("--session", "FILE", chat.session,
             "go on with the chat that FILE keeps, if it exists; kept there at the end");
  flags.text("--chat-template", "NAME|FILE", chat.chat_template,
             "instead of the model's own: chatml, llama-3, mistral, gemma, zephyr, phi-3, or a file of Jinja");
  chat.sampling.add(flags);
  add_compute_flags(flags, chat.engine);
  add_memory_flags(flags, chat.engine, chat.sequences);
  flags.heading("Output");
  flags.text("--show-thinking", "on|off|dim", chat.show_thinking,
             "what the model thinks before it answers: as it comes, not at all, or dimmed and without its tags;\n"
             "default: dim at a terminal, off in a pipe");
  flags.flag("--stats", chat.stats, "a line about each answer on standard error (at a terminal always)");
}

bool at_terminal(const ChatFlags& flags) {
  return flags.questions.empty() && input_is_terminal() && output_is_terminal();
}

void check_flags(const ChatFlags& flags) {
  flags.sampling.request({}, {}, 0);
  parse_show_thinking(flags.show_thinking, false);
  if (flags.sampling.shows_special()) throw std::runtime_error("--special: not with chat");
  if (flags.sampling.wants_logprobs()) throw std::runtime_error("--logprobs: not with chat");
  const auto inputs = std::ranges::count(flags.files, "-");
  if (inputs > 1) throw std::runtime_error("--file: - given twice, standard input can be read once");
  if (inputs == 1 && flags.questions.empty()) {
    throw std::runtime_error("--file: standard input is the document, so questions are expected as -q TEXT");
  }
  if (flags.session.empty()) return;
  std::filesystem::path folder = std::filesystem::path(flags.session).parent_path();
  if (folder.empty()) folder = ".";
  if (::access(folder.c_str(), W_OK) != 0) {
    throw std::runtime_error(fmt::format("--session: {}: nothing can be written there", flags.session));
  }
}

// From its inputs to its end.
class Chat {
 public:
  Chat(const ChatFlags& flags, Engine& engine)
      : flags_(flags),
        engine_(engine),
        person_(at_terminal(flags)),
        dialogue_(engine, signals_,
                  {.sampling = flags.sampling,
                   .chat_template = flags.chat_template,
                   .thinking = parse_show_thinking(flags.show_thinking, output_is_terminal()),
                   .to_terminal = output_is_terminal(),
                   .stats = flags.stats},
                  flags.system),
        commands_(dialogue_, flags.session) {}

  int run(std::vector<Document> documents);

 private:
  // False: it is over, by a signal or because nobody reads the answers.
  bool begin(std::vector<Document> documents);
  void ask_all();
  void talk();
  void listen();
  // Runs an input; complains of what was wrong. False: it is over.
  bool act(const ChatInput& input);
  bool over(bool stopped) const {
    return dialogue_.closed() || signals_.leaving() || (!person_ && (stopped || signals_.last() != 0));
  }
  // Keeps the session, and throws what has gone wrong before.
  void leave(const std::exception_ptr& failure);

  const ChatFlags& flags_;
  Engine& engine_;
  const bool person_;
  ChatSignals signals_;
  Dialogue dialogue_;
  ChatCommands commands_;
};

int Chat::run(std::vector<Document> documents) {
  std::exception_ptr failure;
  try {
    if (begin(std::move(documents))) {
      if (!flags_.questions.empty()) {
        ask_all();
      } else if (person_) {
        talk();
      } else {
        listen();
      }
    }
  } catch (...) {
    failure = std::current_exception();
  }
  leave(failure);
  if (signals_.leaving()) return 128 + signals_.leaving_signal();
  return !person_ && signals_.last() != 0 ? 128 + signals_.last() : static_cast<int>(done);
}

bool Chat::begin(std::vector<Document> documents) {
  if (person_) {
    dialogue_.notes().line(fmt::format("{}: {} tokens of context, on {}; /help lists commands, Ctrl-D leaves",
                                       flags_.engine.model.filename().string(), shown_count(engine_.context()),
                                       engine_.device()));
  }
  if (!flags_.session.empty() && std::filesystem::exists(flags_.session)) {
    dialogue_.load(flags_.session);
    if (!flags_.system.empty() && flags_.system != dialogue_.system()) {
      throw std::runtime_error(fmt::format("--system: {} given, {} has {}", shown_text(flags_.system), flags_.session,
                                           shown_text(dialogue_.system())));
    }
    std::erase_if(documents, [&](const Document& document) {
      const bool known = dialogue_.knows(document);
      if (known) dialogue_.notes().line(document.name + " is part of the session");
      return known;
    });
  }
  return !over(!documents.empty() && !dialogue_.read(std::move(documents)));
}

void Chat::ask_all() {
  for (const std::string& question : flags_.questions) {
    if (over(!dialogue_.ask(question))) return;
  }
}

bool Chat::act(const ChatInput& input) {
  try {
    const bool finished = input.command ? commands_.run(input) : dialogue_.ask(input.text);
    return !commands_.quits() && !over(!finished);
  } catch (const std::exception& error) {
    if (!person_) throw;
    dialogue_.notes().line(std::string("error: ") + error.what());
    return !over(false);
  }
}

void Chat::talk() {
  LineEditor editor(signals_, history_file());
  ChatLines lines;
  while (!signals_.leaving()) {
    const LineReading reading = editor.read(lines.open() ? ". " : "> ");
    if (reading.outcome == LineOutcome::interrupted) lines.drop();
    if (reading.outcome == LineOutcome::end && !lines.open()) return;
    if (reading.outcome == LineOutcome::end) lines.drop();
    if (reading.outcome != LineOutcome::line) continue;
    if (!reading.line.empty()) editor.keep(reading.line);
    const std::optional<ChatInput> input = lines.take(reading.line);
    if (input && !act(*input)) return;
  }
}

void Chat::listen() {
  PipedLines source(signals_);
  ChatLines lines;
  while (true) {
    const LineReading reading = source.read();
    if (reading.outcome == LineOutcome::interrupted) return;
    if (reading.outcome == LineOutcome::end) break;
    const std::optional<ChatInput> input = lines.take(reading.line);
    if (input && !act(*input)) return;
  }
  if (lines.open()) throw std::runtime_error("standard input: \"\"\" is not closed before its end");
}

void Chat::leave(const std::exception_ptr& failure) {
  try {
    if (!flags_.session.empty() && !dialogue_.saved()) dialogue_.save(flags_.session);
  } catch (const std::exception& error) {
    if (!failure) throw;
    dialogue_.notes().line(std::string("the session is not saved: ") + error.what());
  }
  if (failure) std::rethrow_exception(failure);
}

int run_chat(const ChatFlags& flags) {
  check_flags(flags);
  std::vector<Document> documents;
  for (const std::string& file : flags.files) documents.push_back(read_document("--file", file));
  EngineOptions options = flags.engine;
  options.max_sequences = flags.sequences.value_or(1);
  Engine engine(options);
  return Chat(flags, engine).run(std::move(documents));
}

}  // namespace

Command add_chat(CLI::App& program) {
  CLI::App* app = add_command(program, "chat", "talk about long documents: questions, commands, sessions",
                              "Commands at the prompt:\n" + ChatCommands::help() + "\n" + kHelpEnd);
  const auto flags = std::make_shared<ChatFlags>();
  add_flags(*app, *flags);
  return {app, [flags] { return run_chat(*flags); }};
}

}  // namespace precis
