// The precis command: finds the subcommand, runs it, and turns whatever goes wrong into one line and an exit code.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <string>

#include "commands.h"
#include "outcome.h"
#include "terminal.h"

namespace precis {

namespace {

constexpr const char* kFooter = R"(Each command has its own help: precis run --help

Examples:
  precis run -m models/demo-ksa -p "It was a dark night" -n 200
  precis chat -m models/demo-ksa -f book.txt
  precis inspect -m models/demo-ksa
  precis memory -m models/demo-ksa --ctx 4k,32k,128k
  precis tokenize -m models/demo-ksa -p "Hello, world"
  precis logits -m models/demo-ksa --ids ids.json -o logits.safetensors
  precis quantize -m models/demo-ksa -o /tmp/demo-ksa-q8 --weights q8
  precis calibrate -m models/demo-ksa --text novel.txt --dim 64
  precis eval kl -m models/demo-ksa --weights q4 -f book.txt
  precis eval needle -m models/demo-ksa --text novel.txt --lengths 4k,16k
  precis bench -m models/demo-ksa -p 512 -n 128 -d 0,4096

Exit codes: 0 done, 1 the machine failed, 2 a flag, file or checkpoint is wrong, 130 interrupted.)";

// What went wrong, in one line, whatever the message was made of.
int complain(std::string message, int code) {
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  Notes().line("precis: error: " + message);
  return code;
}

// Words of the command line, last first, as CLI11 wants them. CLI11 knows flags of one letter only after one dash, so
// llama.cpp's -np and -sys are given their long names.
std::vector<std::string> words(int count, char** values) {
  std::vector<std::string> reversed;
  for (int at = count - 1; at > 0; --at) {
    std::string word = values[at];
    if (word == "-np") word = "--parallel";
    if (word == "-sys") word = "--system-prompt";
    reversed.push_back(std::move(word));
  }
  return reversed;
}

const CLI::App* chosen(const CLI::App& program) {
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

// "precis eval kl"
std::string full_name(const CLI::App* app) {
  const CLI::App* parent = app->get_parent();
  return parent == nullptr ? app->get_name() : full_name(parent) + " " + app->get_name();
}

// CLI11's complaint, or our own where it would list words without saying which one is wrong.
int complain_of_words(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App* app = chosen(program);
  const std::string name = full_name(app);
  std::string message = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> rest = program.remaining(true);
    const auto is_flag = [](const std::string& word) { return word.starts_with('-'); };
    const auto flag = std::find_if(rest.begin(), rest.end(), is_flag);
    if (flag != rest.end()) {
      message = "unknown flag " + *flag;
    } else if (!rest.empty()) {
      message = (app == &program ? "unknown command " : "unexpected word ") + rest.front();
    }
  }
  return complain(message + " (see " + name + " --help)", bad_input);
}

int run_program(int count, char** values) {
  CLI::App program("Precis: language models on long texts, on the CPU.", "precis");
  program.set_version_flag("--version", "precis " PRECIS_VERSION);
  program.set_help_flag("-h,--help", "print this help");
  program.footer(kFooter);
  program.require_subcommand(0, 1);
  const std::array<Command, 10> commands = {
      add_run(program),    add_chat(program),     add_inspect(program),   add_memory(program), add_tokenize(program),
      add_logits(program), add_quantize(program), add_calibrate(program), add_eval(program),   add_bench(program)};
  try {
    program.parse(words(count, values));
  } catch (const CLI::CallForHelp&) {
    Output().write(program.help());
    return done;
  } catch (const CLI::CallForVersion& version) {
    Output().write(std::string(version.what()) + "\n");
    return done;
  } catch (const CLI::ParseError& error) {
    return complain_of_words(program, error);
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return complain(
      "a command is expected: run, chat, inspect, memory, tokenize, logits, quantize, calibrate, eval or bench (see "
      "precis "
      "--help)",
      bad_input);
}

}  // namespace

}  // namespace precis

int main(int count, char** values) {
  using namespace precis;
  try {
    return run_program(count, values);
  } catch (const RunFailure& error) {
    return complain(error.what(), failed_run);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", failed_run);
  } catch (const std::exception& error) {
    return complain(error.what(), bad_input);
  }
}
