#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "text/utf8.h"

namespace precis {
namespace {

// Longer words are rare, and not worth hashing.
constexpr std::size_t longest_cached_word = 64;

std::vector<AddedToken> read_added_tokens(const JsonView& json) {
  std::vector<AddedToken> tokens;
  const auto list = json.find("added_tokens");
  if (!list) return tokens;
  std::unordered_set<std::string> contents;
  std::unordered_set<std::int32_t> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonView entry = (*list)[i];
    const auto id = static_cast<std::int32_t>(entry.at("id").integer(0, greatest_token_id));
    tokens.push_back(read_added_token(entry, id));
    if (!ids.insert(id).second) entry.at("id").refuse("expected an id that no other added token has");
    if (!contents.insert(tokens.back().content).second) entry.at("content").refuse("expected a text given once");
  }
  return tokens;
}

// What a post-processor puts around a text.
struct Surrounding {
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> suffix;
};

void read_template(const JsonView& json, Surrounding& around) {
  const JsonView single = json.at("single");
  bool before = true;
  for (std::size_t i = 0; i < single.size(); ++i) {
    const JsonView part = single[i];
    if (part.find("Sequence")) {
      before = false;
      continue;
    }
    const JsonView ids = json.at("special_tokens").at(part.at("SpecialToken").at("id").string()).at("ids");
    for (std::size_t k = 0; k < ids.size(); ++k) {
      const auto id = static_cast<std::int32_t>(ids[k].integer(0, greatest_token_id));
      (before ? around.prefix : around.suffix).push_back(id);
    }
  }
}

void read_post_processor(const JsonView& json, Surrounding& around) {
  const std::string& type = json.at("type").string();
  if (type == "TemplateProcessing") {
    read_template(json, around);
  } else if (type == "Sequence") {
    const JsonView parts = json.at("processors");
    for (std::size_t i = 0; i < parts.size(); ++i) read_post_processor(parts[i], around);
  } else if (type != "ByteLevel") {  // which changes offsets only
    json.at("type").refuse("expected TemplateProcessing, ByteLevel or Sequence");
  }
}

// The id of a token that `place` names. It becomes a special token if it was not one.
std::optional<std::int32_t> named_token(const std::optional<std::string>& name, std::string_view place,
                                        const Vocabulary& vocabulary, std::vector<AddedToken>& added) {
  if (!name || name->empty()) return std::nullopt;
  const auto known =
      std::find_if(added.begin(), added.end(), [&](const auto& token) { return token.content == *name; });
  if (known != added.end()) return known->id;
  const auto id = vocabulary.find(*name);
  if (!id) fail("{}: {} is not a token of tokenizer.json", place, in_quotes(*name));
  added.push_back({*id, *name});
  return id;
}

// Normalised forms of the tokens that are looked for after normalisation.
std::vector<AddedToken> normalized_tokens(const std::vector<AddedToken>& added, const Normalizer& normalizer,
                                          std::string_view place) {
  std::vector<AddedToken> tokens;
  std::unordered_set<std::string> contents;
  for (AddedToken token : added) {
    if (!token.normalized) continue;
    const std::string original = std::exchange(token.content, normalizer.apply(token.content));
    if (token.special) {
      if (token.content == original) continue;
      fail("{}: {} is special and changed by the normalizer; expected \"normalized\": false", place,
           in_quotes(original));
    }
    if (token.content.empty()) fail("{}: the normalizer leaves nothing of {}", place, in_quotes(original));
    if (contents.insert(token.content).second) tokens.push_back(std::move(token));
  }
  return tokens;
}

std::vector<std::int32_t> default_ends(std::vector<std::int32_t> from_template, std::optional<bool> wanted,
                                       std::optional<std::int32_t> id, std::string_view place) {
  if (!wanted) return from_template;
  if (!*wanted) return {};
  if (!from_template.empty()) return from_template;
  if (!id) fail("{}: true, but there is no such token", place);
  return {*id};
}

// Which tokens begin and end a text; may add to `added`.
Tokenizer::Parts surrounding_parts(const JsonView& json, const TokenizerConfig& config, const Vocabulary& vocabulary,
                                   std::vector<AddedToken>& added) {
  Surrounding around;
  if (const auto post = json.find("post_processor")) read_post_processor(*post, around);
  const auto bos = named_token(config.bos_token, config.place + ": bos_token", vocabulary, added);
  const auto eos = named_token(config.eos_token, config.place + ": eos_token", vocabulary, added);
  for (const auto& ends : {around.prefix, around.suffix}) {
    for (const std::int32_t id : ends) {
      if (!vocabulary.has(id)) fail("{}: post_processor: id {} is not in the vocabulary", json.place(), id);
    }
  }
  Tokenizer::Parts parts;
  parts.vocab_size = vocabulary.size();
  parts.bos_id = bos || around.prefix.empty() ? bos : around.prefix.front();
  parts.eos_id = eos;
  parts.prefix = default_ends(around.prefix, config.add_bos_token, parts.bos_id, config.place + ": add_bos_token");
  parts.suffix = default_ends(around.suffix, config.add_eos_token, eos, config.place + ": add_eos_token");
  return parts;
}

}  // namespace

BpeTokenizer::BpeTokenizer(Parts parts, Pipeline pipeline)
    : Tokenizer(std::move(parts)), pipeline_(std::move(pipeline)), normalized_(pipeline_.normalized) {}

void BpeTokenizer::encode_plain(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const {
  const std::string whole = pipeline_.normalizer.apply(std::string(text));
  std::size_t done = 0;
  const auto words_until = [&](std::size_t end) {
    if (done == end) return;
    encode_words(pipeline_.pre_tokenizer.split(whole.substr(done, end - done), at_start && done == 0), ids);
  };
  for (const AddedTokens::Match& match : normalized_.find(whole, {})) {
    words_until(match.range.begin);
    ids.push_back(match.id);
    done = match.range.end;
  }
  words_until(whole.size());
}

void BpeTokenizer::encode_words(const WordList& list, std::vector<std::int32_t>& ids) const {
  // Where in `ids` the ids of a word stand since its first occurrence in this text.
  std::unordered_map<std::string_view, TextRange> seen;
  for (const TextRange& range : list.words) {
    const std::string_view word = std::string_view(list.text).substr(range.begin, range.end - range.begin);
    if (word.size() > longest_cached_word) {
      pipeline_.model.encode_word(word, ids);
      continue;
    }
    const std::size_t begin = ids.size();
    const auto [known, fresh] = seen.try_emplace(word);
    if (fresh) {
      pipeline_.model.encode_word(word, ids);
      known->second = {begin, ids.size()};
    } else {
      const TextRange before = known->second;
      for (std::size_t i = before.begin; i < before.end; ++i) ids.push_back(ids[i]);
    }
  }
}

std::string BpeTokenizer::token_bytes(std::int32_t id, bool first) const {
  return pipeline_.decoder.bytes(pipeline_.model.vocabulary().text(id), first);
}

std::string BpeTokenizer::piece(std::int32_t id) const {
  return std::string(pipeline_.model.vocabulary().text(id));
}

std::unique_ptr<Tokenizer> open_bpe_tokenizer(const std::filesystem::path& path, TokenizerConfig config) {
  const JsonView json = JsonView::read(path);
  std::vector<AddedToken> added = read_added_tokens(json);
  const auto normalizer_json = json.find("normalizer");
  Normalizer normalizer = normalizer_json ? Normalizer(*normalizer_json) : Normalizer();
  const auto splitter = json.find("pre_tokenizer");
  PreTokenizer pre_tokenizer = splitter ? PreTokenizer(*splitter) : PreTokenizer();
  TokenDecoder decoder(json.at("decoder"));
  if (decoder.byte_level() != pre_tokenizer.byte_level()) {
    json.at("decoder").refuse("expected ByteLevel if and only if pre_tokenizer is");
  }
  BpeModel model(json.at("model"), added, pre_tokenizer.byte_level());
  std::vector<AddedToken> normalized = normalized_tokens(added, normalizer, json.place() + ": added_tokens");
  Tokenizer::Parts parts = surrounding_parts(json, config, model.vocabulary(), added);
  parts.added = std::move(added);
  parts.config = std::move(config);
  return std::make_unique<BpeTokenizer>(
      std::move(parts), BpeTokenizer::Pipeline{std::move(normalizer), std::move(pre_tokenizer), std::move(model),
                                               std::move(decoder), std::move(normalized)});
}

}  // namespace precis
