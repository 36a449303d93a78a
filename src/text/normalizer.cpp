#include "text/normalizer.h"

#include <array>

#include "base/error.h"
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace precis {
namespace {

class UnicodeForm : public NormalizerStep {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  std::string apply(std::string text) const override { return normalized(std::move(text), form_); }

 private:
  NormalForm form_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string text) const override { return text.empty() ? text : prefix_ + text; }

 private:
  std::string prefix_;
};

class Replace : public NormalizerStep {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    const std::vector<TextRange> found = pattern_.matches(text);
    if (found.empty()) return text;
    std::string out;
    std::size_t done = 0;
    for (const TextRange& range : found) {
      out.append(text, done, range.begin - done);
      out += content_;
      done = range.end;
    }
    out.append(text, done);
    return out;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  std::string apply(std::string text) const override {
    const std::string_view inner = trimmed(text);
    const auto begin = static_cast<std::size_t>(inner.data() - text.data());
    const std::size_t end = begin + inner.size();
    if (right_) text.resize(end);
    if (left_) text.erase(0, inner.empty() ? text.size() : begin);
    return text;
  }

 private:
  bool left_;
  bool right_;
};

constexpr std::array<std::pair<std::string_view, NormalForm>, 4> forms = {
    {{"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}}};

}  // namespace

void Normalizer::add(const JsonView& json) {
  const std::string& type = json.at("type").string();
  for (const auto& [name, form] : forms) {
    if (type == name) {
      steps_.push_back(std::make_shared<UnicodeForm>(form));
      return;
    }
  }
  if (type == "Sequence") {
    const JsonView parts = json.at("normalizers");
    for (std::size_t i = 0; i < parts.size(); ++i) add(parts[i]);
  } else if (type == "Prepend") {
    steps_.push_back(std::make_shared<Prepend>(json.at("prepend").string()));
  } else if (type == "Replace") {
    steps_.push_back(std::make_shared<Replace>(Pattern(json.at("pattern")), json.at("content").string()));
  } else if (type == "Strip") {
    steps_.push_back(std::make_shared<Strip>(json.at("strip_left").boolean(), json.at("strip_right").boolean()));
  } else {
    json.at("type").refuse("expected NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip or Sequence");
  }
}

std::string Normalizer::apply(std::string text) const {
  for (const auto& step : steps_) text = step->apply(std::move(text));
  return text;
}

}  // namespace precis
