// Lines typed at a terminal, edited with libedit, with a history that outlives the program.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace precis {

class ChatSignals;

enum class LineOutcome {
  line,
  end,          // of input
  interrupted,  // a signal came, and what was typed is gone
};

struct LineReading {
  LineOutcome outcome = LineOutcome::end;
  std::string line;  // without its end
};

// One at a time: libedit draws on standard output.
class LineEditor {
 public:
  // `history`: a file that is made when the first line is kept; empty: lines are kept in memory alone.
  LineEditor(ChatSignals& signals, std::filesystem::path history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Waits for a line. Ctrl-D on an empty one is the end.
  LineReading read(const std::string& prompt);
  // Keeps a text, of one line or several, for the up key.
  void keep(const std::string& text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// $XDG_STATE_HOME/precis/chat_history, or that under ~/.local/state. Makes the folder. Empty when it cannot be written.
std::filesystem::path history_file();

}  // namespace precis
