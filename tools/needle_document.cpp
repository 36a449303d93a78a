#include "needle_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "numbers.h"

namespace precis {

namespace {

std::int64_t chat_tokens(const TextCodec& codec, const std::string& text, const std::string& chat_template) {
  const std::array<ChatMessage, 1> turn = {ChatMessage{"user", text}};
  return static_cast<std::int64_t>(codec.encode_chat(turn, chat_template).size());
}

void expect_once(const char* flag, std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice != values.end()) throw std::runtime_error(fmt::format("{}: {} given twice", flag, *twice));
}

// Fills one document after the other from its own seed.
class DocumentMaker {
 public:
  DocumentMaker(const NeedlePlan& plan, const NeedleText& text, const TextCodec& codec, const ChatForm& form)
      : plan_(plan), text_(text), codec_(codec), form_(form) {}

  NeedleDocument make(const NeedlePlace& place) const;

 private:
  void add_facts(NeedleDocument& document, FactMaker& maker, const std::vector<std::int64_t>& depths) const;
  void add_questions(NeedleDocument& document, FactMaker& maker, std::size_t asked) const;
  void add_text(NeedleDocument& document, std::size_t first) const;

  const NeedlePlan& plan_;
  const NeedleText& text_;
  const TextCodec& codec_;
  const ChatForm& form_;
};

NeedleDocument DocumentMaker::make(const NeedlePlace& place) const {
  const std::array parts = {plan_.seed, static_cast<std::uint64_t>(place.length),
                            static_cast<std::uint64_t>(place.file), static_cast<std::uint64_t>(place.depths.front())};
  FactMaker maker(seed_of(parts), text_.all());
  NeedleDocument document;
  document.length = place.length;
  const std::size_t first = maker.draw().below(text_.pieces());
  add_facts(document, maker, place.depths);
  add_questions(document, maker, place.depths.size());
  add_text(document, first);
  return document;
}

// Those that are asked for first, at their depths; the others anywhere.
void DocumentMaker::add_facts(NeedleDocument& document, FactMaker& maker,
                              const std::vector<std::int64_t>& depths) const {
  const std::size_t count = std::max(depths.size(), static_cast<std::size_t>(plan_.needles));
  for (std::size_t at = 0; at < count; ++at) {
    PlantedFact planted;
    planted.fact = plan_.all && at < depths.size() ? maker.code() : maker.any();
    planted.asked_depth =
        at < depths.size() ? static_cast<double>(depths[at]) : static_cast<double>(maker.draw().below(1001)) / 10;
    document.facts.push_back(std::move(planted));
  }
}

void DocumentMaker::add_questions(NeedleDocument& document, FactMaker& maker, std::size_t asked) const {
  if (plan_.all) {
    std::vector<Fact> facts;
    NeedleQuestion question;
    for (std::size_t at = 0; at < asked; ++at) {
      facts.push_back(document.facts[at].fact);
      question.answers.push_back({facts.back().value, document.facts[at].asked_depth});
    }
    question.text = question_for_all(facts);
    document.questions.push_back(std::move(question));
    return;
  }
  for (std::size_t at = 0; at < asked; ++at) {
    const PlantedFact& planted = document.facts[at];
    document.questions.push_back({maker.question(planted.fact), {{planted.fact.value, planted.asked_depth}}});
  }
}

void DocumentMaker::add_text(NeedleDocument& document, std::size_t first) const {
  const std::size_t asked = plan_.all ? document.questions[0].answers.size() : document.questions.size();
  const auto planted = [&](std::size_t count) { return text_.plant(first, count, document.facts); };
  const auto measure = [&](std::size_t count) { return form_.tokens(codec_, planted(count), document.questions); };
  const std::size_t count = text_.longest(first, document.length, measure);
  if (count == 0) {
    throw std::runtime_error(
        fmt::format("--lengths: {} tokens given, too few for the facts, the questions, replies of {} tokens "
                    "(--max-tokens) and a sentence of text",
                    document.length, form_.reply));
  }
  document.text = planted(count);
  document.tokens = form_.tokens(codec_, document.text, document.questions);
  if (count == text_.pieces()) {
    throw std::runtime_error(fmt::format("--text: comes to {} tokens, more than {} expected for --lengths {}",
                                         shown_count(document.tokens), shown_count(document.length), document.length));
  }
  for (std::size_t at = 0; at < asked; ++at) {
    NeedleQuestion& question = document.questions[plan_.all ? 0 : at];
    question.answers[plan_.all ? at : 0].depth = document.facts[at].depth;
  }
  // Stable: facts at one place stand there in the order in which they were planted.
  std::stable_sort(document.facts.begin(), document.facts.end(),
                   [](const PlantedFact& a, const PlantedFact& b) { return a.depth < b.depth; });
}

}  // namespace

std::vector<std::string> NeedleQuestion::texts() const {
  std::vector<std::string> texts;
  for (const WantedAnswer& answer : answers) texts.push_back(answer.text);
  return texts;
}

std::string first_turn(const std::string& text, const std::string& question) {
  return text + "\n" + question;
}

std::int64_t ChatForm::tokens(const TextCodec& codec, const std::string& text,
                              const std::vector<NeedleQuestion>& questions) const {
  const auto longer = [](const NeedleQuestion& a, const NeedleQuestion& b) { return a.text.size() < b.text.size(); };
  const auto longest = std::max_element(questions.begin(), questions.end(), longer);
  std::int64_t tokens = chat_tokens(codec, first_turn(text, longest->text), chat_template) + reply;
  for (auto question = questions.begin(); !apart && question != questions.end(); ++question) {
    if (question != longest) tokens += chat_tokens(codec, question->text, chat_template) + reply;
  }
  return tokens;
}

void NeedlePlan::check() const {
  expect_once("--lengths", lengths);
  expect_once("--depths", depths);
  const auto most = static_cast<std::int64_t>(depths.size());
  if (all && questions > 1) throw std::runtime_error("--questions: not with --all, which asks once");
  if (questions > most) {
    throw std::runtime_error(
        fmt::format("--questions: {} given, at most {} expected: each is about another of the "
                    "--depths",
                    questions, most));
  }
  const std::int64_t asked = all ? most : questions;
  if (needles > 0 && needles < asked) {
    throw std::runtime_error(
        fmt::format("--needles: {} given, at least {} expected: so many are asked for", needles, asked));
  }
}

std::vector<NeedlePlace> places_of(const NeedlePlan& plan) {
  const std::size_t share = plan.all ? plan.depths.size() : static_cast<std::size_t>(plan.questions);
  std::vector<std::int64_t> lengths = plan.lengths;
  std::sort(lengths.begin(), lengths.end());
  std::vector<NeedlePlace> places;
  for (const std::int64_t length : lengths) {
    for (std::int64_t file = 0; file < plan.files; ++file) {
      for (std::size_t begin = 0; begin < plan.depths.size(); begin += share) {
        const auto from = plan.depths.begin() + static_cast<std::ptrdiff_t>(begin);
        const auto to = plan.depths.begin() + static_cast<std::ptrdiff_t>(std::min(begin + share, plan.depths.size()));
        places.push_back({length, file, {from, to}});
      }
    }
  }
  return places;
}

NeedleDocument make_document(const NeedlePlan& plan, const NeedlePlace& place, const NeedleText& text,
                             const TextCodec& codec, const ChatForm& form) {
  if (text.pieces() == 0) throw std::runtime_error("--text: is empty, a text is expected");
  return DocumentMaker(plan, text, codec, form).make(place);
}

}  // namespace precis
