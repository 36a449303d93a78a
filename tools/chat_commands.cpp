#include "chat_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>

#include "input.h"
#include "numbers.h"

namespace precis {

struct ChatCommands::Command {
  const char* name;
  const char* argument;  // as the help shows it
  const char* help;
  bool (ChatCommands::*run)(const std::string& argument);
};

const std::vector<ChatCommands::Command>& ChatCommands::all() {
  static const std::vector<Command> commands = {
      {"help", "", "these lines", &ChatCommands::show_help},
      {"file", "PATH", "read a text file; it goes before the next question", &ChatCommands::read_file},
      {"save", "[PATH]", "keep the conversation and its K and V in a file", &ChatCommands::save},
      {"load", "PATH", "go on with a kept conversation instead of this one", &ChatCommands::load},
      {"clear", "[all]", "forget questions and answers; all: documents too", &ChatCommands::clear},
      {"context", "", "tokens of the context by what they stand for", &ChatCommands::show_context},
      {"memory", "", "K and V held, the pool, the prefix cache", &ChatCommands::show_memory},
      {"set", "[NAME VALUE]", "a sampling option, max-tokens or show-thinking; no value: its default; alone: all",
       &ChatCommands::set},
      {"retry", "", "answer the last question anew", &ChatCommands::retry},
      {"quit", "", "leave, as Ctrl-D does", &ChatCommands::quit}};
  return commands;
}

ChatCommands::ChatCommands(Dialogue& dialogue, std::string session)
    : dialogue_(dialogue), session_(std::move(session)) {}

bool ChatCommands::run(const ChatInput& input) {
  const auto found = std::ranges::find(all(), input.text, &Command::name);
  if (found != all().end()) {
    const bool takes = *found->argument != 0;
    if (!takes && !input.argument.empty()) {
      throw std::runtime_error(fmt::format("/{}: {} given, nothing expected", input.text, shown_text(input.argument)));
    }
    return (this->*found->run)(input.argument);
  }
  std::vector<std::string> names;
  for (const Command& command : all()) names.emplace_back(command.name);
  const std::vector<std::string> near = nearest_names(input.text, names);
  throw std::runtime_error(fmt::format("no command is called {}; {} /{} (a question may begin with //)",
                                       shown_text("/" + input.text), near.empty() ? "there are" : "did you mean",
                                       fmt::join(near.empty() ? names : near, ", /")));
}

std::string ChatCommands::help() {
  std::string text;
  for (const Command& command : all()) {
    text += fmt::format("  {:<19} {}\n", fmt::format("/{} {}", command.name, command.argument), command.help);
  }
  return text;
}

bool ChatCommands::show_help(const std::string&) {
  dialogue_.notes().line(help() +
                         "  \"\"\" ... \"\"\"         a question of several lines; // at the beginning stands for /\n"
                         "  Ctrl-C              stops an answer, or clears the line; Ctrl-D leaves");
  return true;
}

bool ChatCommands::read_file(const std::string& argument) {
  if (argument.empty()) throw std::runtime_error("/file: a path is expected");
  if (argument == "-") throw std::runtime_error("/file: '-' given, the path of a file expected");
  return dialogue_.read({read_document("/file", argument)});
}

bool ChatCommands::save(const std::string& argument) {
  const std::string path = argument.empty() ? session_ : argument;
  if (path.empty()) throw std::runtime_error("/save: a path is expected, as no --session was given");
  dialogue_.save(path);
  session_ = path;
  return true;
}

bool ChatCommands::load(const std::string& argument) {
  if (argument.empty()) throw std::runtime_error("/load: a path is expected");
  dialogue_.load(argument);
  return true;
}

bool ChatCommands::clear(const std::string& argument) {
  if (!argument.empty() && argument != "all") {
    throw std::runtime_error(fmt::format("/clear: {} given, all or nothing expected", shown_text(argument)));
  }
  dialogue_.clear(argument == "all");
  dialogue_.notes().line(argument == "all" ? "the conversation and its documents are forgotten"
                                           : "questions and answers are forgotten; documents stay");
  return true;
}

bool ChatCommands::show_context(const std::string&) {
  dialogue_.note_context();
  return true;
}

bool ChatCommands::show_memory(const std::string&) {
  dialogue_.note_memory();
  return true;
}

bool ChatCommands::set(const std::string& argument) {
  if (!argument.empty()) {
    const std::size_t end = std::min(argument.find_first_of(" \t="), argument.size());
    const std::size_t value = std::min(argument.find_first_not_of(" \t=", end), argument.size());
    dialogue_.set(argument.substr(0, end), argument.substr(value));
  }
  dialogue_.note_settings();
  return true;
}

bool ChatCommands::retry(const std::string&) {
  return dialogue_.retry();
}

bool ChatCommands::quit(const std::string&) {
  quits_ = true;
  return true;
}

Document read_document(std::string_view flag, const std::string& path) {
  std::string text = read_input(flag, path);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw std::runtime_error(fmt::format("{}: {}: is empty, a text is expected", flag, path));
  }
  return {path == "-" ? "standard input" : std::filesystem::path(path).filename().string(), std::move(text)};
}

}  // namespace precis
