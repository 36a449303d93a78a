#include "needle_runner.h"

#include <utility>

#include "needle_verdict.h"
#include "outcome.h"

namespace precis {

namespace {

NeedleResult result_of(const NeedleDocument& document, std::size_t index, const NeedleQuestion& question,
                       std::size_t turn, const Answer& answer) {
  NeedleResult result;
  result.length = document.length;
  result.document = index;
  result.file = document.file;
  result.facts = document.facts;
  result.question = question;
  result.turn = turn;
  result.reply = answer.text;
  const bool ended = answer.reason == EndReason::end_token;
  const std::vector<std::string> wanted = question.texts();
  result.verdict = judge(answer.text, ended, wanted);
  const bool counts = ended && !lists_others(answer.text, wanted);
  for (const std::string& text : wanted) result.found.push_back(counts && has_word(answer.text, text));
  result.prompt_tokens = answer.usage.prompt_tokens;
  result.reused_tokens = answer.usage.reused_tokens;
  result.reply_tokens = answer.usage.answer_tokens;
  result.prompt_seconds = answer.usage.prompt_seconds;
  result.reply_seconds = answer.usage.answer_seconds;
  result.kv_bytes = answer.usage.kv.held_bytes;
  return result;
}

}  // namespace

void NeedleRunner::ask(const NeedleDocument& document, std::size_t index, const std::function<void(std::size_t)>& told,
                       const std::function<void(NeedleResult)>& take) {
  std::vector<ChatMessage> messages;
  for (std::size_t turn = 0; turn < document.questions.size(); ++turn) {
    const NeedleQuestion& question = document.questions[turn];
    if (form_.apart) messages.clear();
    told(turn);
    messages.push_back({"user", messages.empty() ? first_turn(document.text, question.text) : question.text});
    const Answer answer = reply_to(messages);
    messages.push_back({"assistant", answer.text});
    take(result_of(document, index, question, turn, answer));
  }
}

Answer NeedleRunner::reply_to(const std::vector<ChatMessage>& messages) {
  Request request;
  request.ids = engine_.text().encode_chat(messages, form_.chat_template);
  request.max_tokens = form_.reply;
  request.sampling.temperature = 0;
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) throw RunFailure("cancelled");
    stream_ = engine_.submit(std::move(request));
  }
  Answer answer;
  for (bool end = false; !end;) {
    const TokenEvent event = stream_->next();
    answer.add(event);
    end = event.end;
  }
  if (answer.reason == EndReason::failed) throw RunFailure(answer.error);
  if (answer.reason == EndReason::cancelled) throw RunFailure("cancelled");
  return answer;
}

void NeedleRunner::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (stream_) stream_->cancel();
}

bool NeedleRunner::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

}  // namespace precis
