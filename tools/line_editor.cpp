#include "line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

#include "chat_signals.h"

namespace precis {

namespace {

constexpr int kHistoryLines = 1000;

// libedit converts by the locale; a terminal of today means UTF-8 whatever LANG says.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::State {
  State(ChatSignals& of, std::filesystem::path file) : signals(of), history_path(std::move(file)) {}

  // As libedit wants it: 1 for a character, 0 at the end of input, -1 when a signal came.
  static int read_character(EditLine* editor, wchar_t* character);
  static char* prompt_of(EditLine* editor);
  static State& of(EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }
  // False: at the end of input, or interrupted.
  bool read_byte(unsigned char& byte);

  ChatSignals& signals;
  std::filesystem::path history_path;
  std::string prompt;
  bool interrupted = false;
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
};

bool LineEditor::State::read_byte(unsigned char& byte) {
  while (true) {
    std::array<pollfd, 2> files = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals.prompt_file(), POLLIN, 0}};
    if (::poll(files.data(), files.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (files[1].revents != 0) {
      signals.take_prompt();
      interrupted = true;
      return false;
    }
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return got == 1;
  }
}

int LineEditor::State::read_character(EditLine* editor, wchar_t* character) {
  State& state = of(editor);
  unsigned char byte = 0;
  if (!state.read_byte(byte)) return state.interrupted ? -1 : 0;
  const int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
  std::uint32_t code = more == 0 ? byte : byte & (0x3FU >> more);
  for (int at = 0; at < more; ++at) {
    if (!state.read_byte(byte)) return state.interrupted ? -1 : 0;
    code = (code << 6) | (byte & 0x3FU);
  }
  const bool valid = code < 0x110000 && !(code >= 0xD800 && code < 0xE000) && !(more == 0 && code >= 0x80);
  *character = static_cast<wchar_t>(valid ? code : 0xFFFD);
  return 1;
}

char* LineEditor::State::prompt_of(EditLine* editor) {
  return of(editor).prompt.data();
}

LineEditor::LineEditor(ChatSignals& signals, std::filesystem::path history)
    : state_(std::make_unique<State>(signals, std::move(history))) {
  use_utf8();
  State& state = *state_;
  state.history = ::history_init();
  state.editor = ::el_init("precis", stdin, stdout, stderr);
  if (state.editor == nullptr || state.history == nullptr) throw std::bad_alloc();
  ::history(state.history, &state.event, H_SETSIZE, kHistoryLines);
  ::history(state.history, &state.event, H_SETUNIQUE, 1);
  if (!state.history_path.empty()) ::history(state.history, &state.event, H_LOAD, state.history_path.c_str());
  ::el_set(state.editor, EL_CLIENTDATA, &state);
  ::el_set(state.editor, EL_PROMPT, &State::prompt_of);
  ::el_set(state.editor, EL_EDITOR, "emacs");
  ::el_set(state.editor, EL_HIST, ::history, state.history);
  ::el_set(state.editor, EL_GETCFN, &State::read_character);
  ::el_set(state.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_set(state.editor, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  ::el_set(state.editor, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  ::el_set(state.editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
}

LineEditor::~LineEditor() {
  ::el_end(state_->editor);
  ::history_end(state_->history);
}

LineReading LineEditor::read(const std::string& prompt) {
  state_->prompt = prompt;
  state_->interrupted = false;
  // libedit shows its prompt before it takes the terminal over, and a Ctrl-D between the two would be lost.
  ::el_set(state_->editor, EL_PREP_TERM, 1);
  int count = 0;
  const char* line = ::el_gets(state_->editor, &count);
  if (state_->interrupted) {
    std::fputs("^C\n", stdout);
    std::fflush(stdout);
    return {LineOutcome::interrupted, ""};
  }
  if (line == nullptr || count <= 0) {
    std::fputs("\n", stdout);
    std::fflush(stdout);
    return {};
  }
  std::string text = line;
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return {LineOutcome::line, std::move(text)};
}

void LineEditor::keep(const std::string& text) {
  ::history(state_->history, &state_->event, H_ENTER, text.c_str());
  if (!state_->history_path.empty()) ::history(state_->history, &state_->event, H_SAVE, state_->history_path.c_str());
}

std::filesystem::path history_file() {
  std::filesystem::path folder;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') {
    folder = state;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".local" / "state";
  } else {
    return {};
  }
  folder /= "precis";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || ::access(folder.c_str(), W_OK) != 0) return {};
  const std::filesystem::path file = folder / "chat_history";
  if (::access(file.c_str(), F_OK) == 0 && ::access(file.c_str(), R_OK | W_OK) != 0) return {};
  return file;
}

}  // namespace precis
