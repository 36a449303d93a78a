// A conversation with an open engine: documents are read, questions answered, sessions kept.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "answer.h"
#include "answer_writer.h"
#include "chat_session.h"
#include "chat_signals.h"
#include "chat_text.h"
#include "conversation.h"
#include "sampling_flags.h"
#include "terminal.h"

namespace precis {

struct DialogueOptions {
  SamplingFlags sampling;
  std::string chat_template;
  ShowThinking thinking = ShowThinking::off;
  bool to_terminal = false;  // answers are for a person: control characters go
  bool stats = false;        // a line about each answer, also where standard error is no terminal
};

// Every method that throws std::runtime_error, for something that was wrong, leaves the conversation as it was. When
// the engine breaks down RunFailure is thrown.
class Dialogue {
 public:
  // Engine and signals outlive it.
  Dialogue(Engine& engine, ChatSignals& signals, DialogueOptions options, std::string system);

  // Computes documents, which are part of the next question. False: a signal stopped it, and what was read is kept.
  // Throws when they do not fit, before anything is read.
  bool read(std::vector<Document> documents);
  // False: a signal stopped the answer; what was said is kept. The text goes to standard output.
  bool ask(const std::string& question);
  // The last question once more, with another seed. Throws when there is none.
  bool retry();
  void clear(bool documents);

  // Throws for a name that there is not, or a wrong value.
  void set(const std::string& name, const std::string& value);
  // Names that set() takes.
  static std::vector<std::string> setting_names();

  void save(const std::filesystem::path& path);
  // Settings of the file count where none was given on the command line.
  void load(const std::filesystem::path& path);

  void note_settings() const;
  void note_context() const;
  void note_memory() const;

  Notes& notes() { return notes_; }
  // The reader of the answers has gone.
  bool closed() const { return output_.closed(); }
  // Nothing was asked or read since the last save or load.
  bool saved() const { return saved_; }
  const std::string& system() const { return conversation_.system(); }
  // Whether a document with this name and text is part of the conversation.
  bool knows(const Document& document) const;

 private:
  // A request with progress, which signals stop. `writer`: who gets the text.
  Answer run(Request request, AnswerWriter* writer);
  void expect_room(const std::string& what, std::int64_t tokens) const;
  bool ask_with(const std::string& question, int attempt);
  void note_answer(const Answer& answer);

  Engine& engine_;
  ChatSignals& signals_;
  DialogueOptions options_;
  CodecChatText text_;
  Conversation conversation_;
  Output output_;
  Notes notes_;
  std::optional<std::string> unanswered_;  // the last question, which got no word of an answer
  int attempts_ = 0;                       // of the last question, after the first
  bool saved_ = true;
  std::optional<KvReport> kv_;      // of the last request
  std::int64_t prompt_tokens_ = 0;  // of all requests
  std::int64_t reused_tokens_ = 0;
};

}  // namespace precis
