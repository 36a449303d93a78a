#include "dialogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>

#include "chat_input.h"
#include "numbers.h"
#include "outcome.h"
#include "reading_progress.h"
#include "summary.h"

namespace precis {

namespace {

// Tokens that a question and its answer need beside a document.
constexpr std::int64_t kRoom = 64;

std::string names_of(const std::vector<Document>& documents) {
  std::string names;
  for (const Document& document : documents) names += (names.empty() ? "" : ", ") + document.name;
  return names;
}

std::string shown_seconds(double seconds) {
  return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 2 : 0);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

Dialogue::Dialogue(Engine& engine, ChatSignals& signals, DialogueOptions options, std::string system)
    : engine_(engine),
      signals_(signals),
      options_(std::move(options)),
      text_(engine.text(), options_.chat_template),
      conversation_(std::move(system)) {}

void Dialogue::expect_room(const std::string& what, std::int64_t tokens) const {
  const std::int64_t context = engine_.context();
  if (tokens <= context) return;
  throw std::runtime_error(
      fmt::format("{} {} tokens, {} more than the context of {}; ways out: a larger -c (the model was made for {}; "
                  "--esa on --esa-positions packed goes beyond) and, where memory is what is short, "
                  "--kv-cache-dtype fp8, or --esa on with --kv-offload FILE",
                  what, shown_count(tokens), shown_count(tokens - context), shown_count(context),
                  shown_count(engine_.model_context())));
}

Answer Dialogue::run(Request request, AnswerWriter* writer) {
  // The engine may call it for a moment after an exception has left here.
  const auto progress =
      std::make_shared<ReadingProgress>(notes_, engine_, static_cast<std::int64_t>(request.ids.size()));
  request.on_progress = [progress](std::int64_t computed) { progress->computed(computed); };
  const ReadingProgress::Ending ending(*progress);
  Stream stream = engine_.submit(std::move(request));
  Answer answer;
  {
    const ChatSignals::Busy busy(signals_, [&stream] { stream.cancel(); });
    if (signals_.leaving()) stream.cancel();
    for (bool end = false; !end;) {
      const TokenEvent event = stream.next();
      end = event.end;
      if (end || !event.text.empty()) progress->end();
      answer.add(event);
      if (writer != nullptr) writer->write(event.text);
      if (output_.closed()) stream.cancel();
    }
  }
  prompt_tokens_ += answer.usage.prompt_tokens;
  reused_tokens_ += answer.usage.reused_tokens;
  kv_ = answer.usage.kv;
  if (answer.reason == EndReason::failed) throw RunFailure(answer.error);
  return answer;
}

bool Dialogue::read(std::vector<Document> documents) {
  const std::string names = names_of(documents);
  const std::size_t count = documents.size();
  for (Document& document : documents) conversation_.add(std::move(document));
  Request request;
  try {
    request.ids = conversation_.beginning(text_);
    expect_room(fmt::format("{}: with a question of {} tokens or less the conversation would have", names, kRoom),
                static_cast<std::int64_t>(request.ids.size()) + kRoom);
  } catch (...) {
    conversation_.drop_waiting(count);
    throw;
  }
  saved_ = false;
  if (!notes_.terminal()) {
    notes_.line(
        fmt::format("reading {}: {} tokens", names, shown_count(static_cast<std::int64_t>(request.ids.size()))));
  }
  const Answer answer = run(std::move(request), nullptr);
  const Usage& usage = answer.usage;
  const std::string held = shown_bytes(static_cast<double>(held_bytes(engine_.memory())));
  if (answer.reason == EndReason::cancelled) {
    notes_.line(fmt::format("stopped: {} of {} tokens are read, and kept (KV {}); a question reads on from there",
                            shown_count(usage.kv.tokens), shown_count(usage.prompt_tokens), held));
    return false;
  }
  const std::string reused =
      usage.reused_tokens > 0 ? fmt::format(" ({} reused)", shown_count(usage.reused_tokens)) : "";
  notes_.line(fmt::format("read {}: {} tokens{} in {}, {} tokens/s, KV {}", names, shown_count(usage.prompt_tokens),
                          reused, shown_seconds(usage.prompt_seconds),
                          shown_count(static_cast<std::int64_t>(prompt_rate(usage))), held));
  return true;
}

bool Dialogue::ask(const std::string& question) {
  attempts_ = 0;
  return ask_with(question, 0);
}

bool Dialogue::ask_with(const std::string& question, int attempt) {
  Conversation::Prompt prompt = conversation_.prompt(text_, question);
  const auto tokens = static_cast<std::int64_t>(prompt.ids.size());
  if (tokens >= engine_.context()) {
    throw std::runtime_error(fmt::format(
        "with this question and a token of an answer the conversation would have {} tokens, {} more than the context "
        "of {}; nothing was dropped: /clear forgets questions and answers, --session keeps them for a start with a "
        "larger -c",
        shown_count(tokens + 1), shown_count(tokens + 1 - engine_.context()), shown_count(engine_.context())));
  }
  Request request = options_.sampling.request(prompt.ids, engine_.default_sampling(), engine_.context());
  const std::int64_t room = engine_.context() - tokens;
  const bool to_the_end = request.max_tokens < 0 || request.max_tokens >= room;
  if (to_the_end) request.max_tokens = room;
  request.hash_logits = false;
  if (request.sampling.seed) *request.sampling.seed += static_cast<std::uint64_t>(attempt);

  unanswered_ = question;
  AnswerWriter writer(output_, options_.thinking, options_.to_terminal,
                      ThinkingFilter(engine_.text().think_tags(options_.chat_template), prompt.thinking));
  const Answer answer = run(std::move(request), &writer);
  const bool stopped = answer.reason == EndReason::cancelled;
  const bool nothing = stopped && answer.text.empty();
  if (!nothing || options_.to_terminal) writer.finish();
  if (nothing) {
    notes_.line("stopped before a word was said: the question is taken back, /retry asks it again");
    return false;
  }
  std::vector<std::int32_t> ids;
  for (const AnswerToken& token : answer.tokens) ids.push_back(token.id);
  conversation_.answered(text_, question, std::move(prompt), std::move(ids), answer.text, stopped);
  unanswered_.reset();
  saved_ = false;
  if (stopped) notes_.line("stopped: what was said stays in the conversation");
  if (answer.reason == EndReason::length) {
    notes_.line(to_the_end ? fmt::format("the answer ends here because the context of {} tokens is full: /clear, or a "
                                         "larger -c with --session",
                                         shown_count(engine_.context()))
                           : fmt::format("the answer ends here after {} tokens (/set max-tokens N, -n N)",
                                         shown_count(answer.usage.answer_tokens)));
  }
  note_answer(answer);
  return !stopped;
}

bool Dialogue::retry() {
  if (unanswered_) return ask_with(std::string(*unanswered_), ++attempts_);
  if (conversation_.turns().empty()) throw std::runtime_error("/retry: no question was asked yet");
  const Conversation before = conversation_;
  const std::string question = *conversation_.take_back();
  bool answered = false;
  try {
    answered = ask_with(question, ++attempts_);
  } catch (...) {
    conversation_ = before;
    throw;
  }
  if (unanswered_) {  // stopped before a word was said: the earlier answer stays
    conversation_ = before;
    unanswered_.reset();
  }
  return answered;
}

void Dialogue::clear(bool documents) {
  conversation_.clear(documents);
  unanswered_.reset();
  saved_ = false;
}

bool Dialogue::knows(const Document& document) const {
  const auto has = [&](const std::vector<Document>& documents) {
    return std::ranges::find(documents, document) != documents.end();
  };
  return has(conversation_.waiting()) ||
         std::ranges::any_of(conversation_.turns(), [&](const Turn& turn) { return has(turn.documents); });
}

void Dialogue::set(const std::string& name, const std::string& value) {
  if (options_.sampling.set(name, value)) return;
  if (name == "show-thinking") {
    options_.thinking = parse_show_thinking(value, options_.to_terminal);
    return;
  }
  const std::vector<std::string> names = setting_names();
  std::vector<std::string> near = nearest_names(name, names);
  throw std::runtime_error(fmt::format("/set: no setting is called {}; {}: {}", shown_text(name),
                                       near.empty() ? "there are" : "did you mean",
                                       fmt::join(near.empty() ? names : near, ", ")));
}

std::vector<std::string> Dialogue::setting_names() {
  std::vector<std::string> names = SamplingFlags::names();
  names.push_back("show-thinking");
  return names;
}

void Dialogue::save(const std::filesystem::path& path) {
  Request request;
  request.ids = conversation_.beginning(text_);
  request.ids.resize(std::min(request.ids.size(), static_cast<std::size_t>(engine_.context())));
  const std::vector<std::int32_t> ids = request.ids;
  // The last few ids may not be computed yet, and with them the next question begins at once.
  const Answer answer = run(std::move(request), nullptr);
  if (answer.reason == EndReason::cancelled && !signals_.leaving()) throw std::runtime_error("/save: stopped");
  const auto begin = std::chrono::steady_clock::now();
  const ChatSession session{conversation_, options_.chat_template, options_.sampling.given()};
  const SessionSize size = save_chat_session(engine_, path, session, ids);
  saved_ = true;
  notes_.line(fmt::format("saved {}: {}, {} tokens, {}", path.string(), shown_bytes(static_cast<double>(size.bytes)),
                          shown_count(size.tokens), shown_seconds(seconds_since(begin))));
}

void Dialogue::load(const std::filesystem::path& path) {
  const auto begin = std::chrono::steady_clock::now();
  SessionSize size;
  ChatSession session = load_chat_session(engine_, path, size);
  SamplingFlags sampling = options_.sampling;
  const auto given = sampling.given();
  for (const auto& [name, value] : session.settings) {
    const auto is_given = [&name = name](const auto& setting) { return setting.first == name; };
    if (std::ranges::none_of(given, is_given)) sampling.set(name, value);
  }
  if (options_.chat_template.empty() && !session.chat_template.empty()) {
    text_ = CodecChatText(engine_.text(), session.chat_template);
    options_.chat_template = session.chat_template;
  }
  options_.sampling = std::move(sampling);
  conversation_ = std::move(session.conversation);
  unanswered_.reset();
  saved_ = true;
  const std::size_t questions = conversation_.turns().size();
  notes_.line(fmt::format("loaded {}: {}, {} tokens, {} question{}, {}", path.string(),
                          shown_bytes(static_cast<double>(size.bytes)), shown_count(size.tokens), questions,
                          questions == 1 ? "" : "s", shown_seconds(seconds_since(begin))));
}

}  // namespace precis
