#include "answer_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "numbers.h"

namespace precis {

ShowThinking parse_show_thinking(const std::string& text, bool to_terminal) {
  if (text.empty()) return to_terminal ? ShowThinking::dim : ShowThinking::off;
  if (text == "on") return ShowThinking::on;
  if (text == "off") return ShowThinking::off;
  if (text == "dim") return ShowThinking::dim;
  throw std::runtime_error(fmt::format("--show-thinking: {}, expected on, off or dim", shown_text(text)));
}

AnswerWriter::AnswerWriter(Output& output, ShowThinking thinking, bool to_terminal, ThinkingFilter filter)
    : output_(output), thinking_(thinking), to_terminal_(to_terminal), filter_(std::move(filter)) {
  output_.begin_text();
}

void AnswerWriter::write(std::string_view text) {
  if (thinking_ == ShowThinking::on) {
    put(text);
  } else {
    write(filter_.take(text));
  }
}

void AnswerWriter::finish() {
  if (thinking_ != ShowThinking::on) write(filter_.finish());
  if (dimmed_) output_.write("\033[0m");
  dimmed_ = false;
  if (!any_ || output_.inside_line()) output_.write("\n");
}

void AnswerWriter::write(const std::vector<ThinkingFilter::Stretch>& stretches) {
  for (const auto& [text, thinking] : stretches) {
    if (thinking && thinking_ == ShowThinking::off) continue;
    const bool dims = thinking && to_terminal_ && colour_is_wanted();
    if (dims != dimmed_) output_.write(dims ? "\033[2m" : "\033[0m");
    dimmed_ = dims;
    if (thought_ && !thinking) put("\n\n");
    thought_ = thinking;
    put(text);
  }
}

void AnswerWriter::put(std::string_view text) {
  if (text.empty()) return;
  any_ = true;
  if (!to_terminal_) return output_.write(text);
  std::string plain;
  std::ranges::copy_if(text, std::back_inserter(plain), [](char letter) {
    return static_cast<unsigned char>(letter) >= 0x20 || letter == '\n' || letter == '\t';
  });
  std::erase(plain, '\x7f');
  output_.write(plain);
}

}  // namespace precis
