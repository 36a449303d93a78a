#include "chat_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "numbers.h"

namespace precis {

namespace {

using Json = nlohmann::json;

constexpr const char* kFormat = "precis chat";
constexpr int kVersion = 1;

[[noreturn]] void refuse(const std::string& field, const Json& value, const char* expected) {
  const std::string found = value.is_structured() ? value.type_name() : shown_text(value.dump(-1, ' ', true));
  throw std::runtime_error(fmt::format("{}: {} found, {} expected", field, found, expected));
}

// A member of an object, which is there.
const Json& member(const Json& object, const std::string& place, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw std::runtime_error(fmt::format("{}{}: is missing", place, key));
  return *found;
}

const std::string& text_of(const Json& object, const std::string& place, const char* key) {
  const Json& value = member(object, place, key);
  if (!value.is_string()) refuse(place + key, value, "a text");
  return value.get_ref<const std::string&>();
}

const Json& list_of(const Json& object, const std::string& place, const char* key) {
  const Json& value = member(object, place, key);
  if (!value.is_array()) refuse(place + key, value, "a list");
  return value;
}

// A whole number from 0 to `most`.
std::size_t count_of(const Json& value, const std::string& place, std::size_t most) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
    refuse(place, value, fmt::format("a number from 0 to {}", most).c_str());
  }
  return value.get<std::size_t>();
}

void expect_object(const Json& value, const std::string& place) {
  if (!value.is_object()) refuse(place, value, "an object");
}

Json documents_json(const std::vector<Document>& documents) {
  Json list = Json::array();
  for (const Document& document : documents) list.push_back({{"name", document.name}, {"text", document.text}});
  return list;
}

std::vector<Document> documents_of(const Json& object, const std::string& place) {
  std::vector<Document> documents;
  for (const Json& item : list_of(object, place, "documents")) {
    const std::string here = fmt::format("{}documents[{}]", place, documents.size());
    expect_object(item, here);
    documents.push_back({text_of(item, here + ".", "name"), text_of(item, here + ".", "text")});
  }
  return documents;
}

std::vector<Turn> turns_of(const Json& document) {
  std::vector<Turn> turns;
  for (const Json& item : list_of(document, "", "turns")) {
    const std::string here = fmt::format("turns[{}]", turns.size());
    expect_object(item, here);
    const std::string place = here + ".";
    const Json& stopped = member(item, place, "stopped");
    if (!stopped.is_boolean()) refuse(place + "stopped", stopped, "true or false");
    turns.push_back({documents_of(item, place), text_of(item, place, "question"), text_of(item, place, "answer"),
                     stopped.get<bool>()});
  }
  return turns;
}

// Said::ids are written as how many of them the file's ids begin with, and the others.
Json said_json(const Said& said, std::span<const std::int32_t> ids) {
  const auto most = static_cast<std::ptrdiff_t>(std::min(said.ids.size(), ids.size()));
  const auto differs = std::mismatch(said.ids.begin(), said.ids.begin() + most, ids.begin());
  Json marks = Json::array();
  for (const Said::Mark& mark : said.marks) marks.push_back({mark.ids, mark.bytes});
  return {{"shared", differs.first - said.ids.begin()},
          {"ids", std::vector<std::int32_t>(differs.first, said.ids.end())},
          {"text", said.text},
          {"marks", std::move(marks)}};
}

Said said_of(const Json& document, std::span<const std::int32_t> ids) {
  const Json& object = member(document, "", "said");
  expect_object(object, "said");
  Said said;
  said.text = text_of(object, "said.", "text");
  const std::size_t shared = count_of(member(object, "said.", "shared"), "said.shared", ids.size());
  said.ids.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(shared));
  for (const Json& id : list_of(object, "said.", "ids")) {
    const std::string place = fmt::format("said.ids[{}]", said.ids.size() - shared);
    said.ids.push_back(static_cast<std::int32_t>(count_of(id, place, std::numeric_limits<std::int32_t>::max())));
  }
  for (const Json& mark : list_of(object, "said.", "marks")) {
    const std::string place = fmt::format("said.marks[{}]", said.marks.size());
    if (!mark.is_array() || mark.size() != 2) refuse(place, mark, "two numbers");
    said.marks.push_back({count_of(mark[0], place, said.ids.size()), count_of(mark[1], place, said.text.size())});
  }
  return said;
}

std::vector<std::pair<std::string, std::string>> settings_of(const Json& document) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const Json& item : list_of(document, "", "settings")) {
    const std::string place = fmt::format("settings[{}]", settings.size());
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) {
      refuse(place, item, "a name and a value");
    }
    settings.emplace_back(item[0].get<std::string>(), item[1].get<std::string>());
  }
  return settings;
}

Json parsed(std::string_view note) {
  // As deep as a note is; a callback that refuses deeper ones keeps the parser's work small.
  constexpr int kDeepest = 6;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) throw std::runtime_error("it is nested too deeply");
    return true;
  };
  try {
    return Json::parse(note, shallow);
  } catch (const Json::exception& error) {
    throw std::runtime_error(fmt::format("no JSON: {}", error.what()));
  }
}

}  // namespace

std::string session_note(const ChatSession& session, std::span<const std::int32_t> ids) {
  const Conversation& conversation = session.conversation;
  Json turns = Json::array();
  for (const Turn& turn : conversation.turns()) {
    turns.push_back({{"documents", documents_json(turn.documents)},
                     {"question", turn.question},
                     {"answer", turn.answer},
                     {"stopped", turn.stopped}});
  }
  Json settings = Json::array();
  for (const auto& [name, value] : session.settings) settings.push_back({name, value});
  const Json document = {{"format", kFormat},
                         {"version", kVersion},
                         {"system", conversation.system()},
                         {"turns", std::move(turns)},
                         {"documents", documents_json(conversation.waiting())},
                         {"said", said_json(conversation.said(), ids)},
                         {"chat_template", session.chat_template},
                         {"settings", std::move(settings)}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ChatSession parse_session_note(std::string_view note, std::span<const std::int32_t> ids) {
  const Json document = parsed(note);
  expect_object(document, "the note");
  const Json& format = member(document, "", "format");
  if (format != kFormat) refuse("format", format, "\"precis chat\"");
  const Json& version = member(document, "", "version");
  if (version != kVersion) refuse("version", version, "1");
  return {Conversation(text_of(document, "", "system"), turns_of(document), documents_of(document, ""),
                       said_of(document, ids)),
          text_of(document, "", "chat_template"), settings_of(document)};
}

}  // namespace precis
