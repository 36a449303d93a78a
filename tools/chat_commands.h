// The slash commands of a chat.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chat_input.h"
#include "dialogue.h"

namespace precis {

class ChatCommands {
 public:
  // `session`: where /save writes when no path is given; may be empty.
  ChatCommands(Dialogue& dialogue, std::string session);

  // False: a signal has stopped what it did. Throws std::runtime_error, in one line, for what cannot be done.
  bool run(const ChatInput& input);
  // /quit was given.
  bool quits() const { return quits_; }
  // Where the session is kept: as given, or where /save or /load last had it.
  const std::string& session() const { return session_; }

  // For --help: a line a command.
  static std::string help();

 private:
  struct Command;
  static const std::vector<Command>& all();

  bool show_help(const std::string& argument);
  bool read_file(const std::string& argument);
  bool save(const std::string& argument);
  bool load(const std::string& argument);
  bool clear(const std::string& argument);
  bool show_context(const std::string& argument);
  bool show_memory(const std::string& argument);
  bool set(const std::string& argument);
  bool retry(const std::string& argument);
  bool quit(const std::string& argument);

  Dialogue& dialogue_;
  std::string session_;
  bool quits_ = false;
};

// A document from a file; "-" is standard input. Throws std::runtime_error that names `flag`.
Document read_document(std::string_view flag, const std::string& path);

}  // namespace precis
