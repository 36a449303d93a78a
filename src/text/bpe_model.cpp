#include "text/bpe_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace precis {
namespace {

bool boolean_or(const JsonView& json, std::string_view key, bool otherwise) {
  const auto found = json.find(key);
  return found ? found->boolean() : otherwise;
}

// The values below are read without a JsonView each: there are hundreds of thousands of them.

std::int32_t id_in(const nlohmann::json& value, const JsonView& vocab, std::string_view token) {
  const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= greatest_token_id;
  if (!fits) fail("{}: {}: expected an id from 0 to {}", vocab.place(), in_quotes(token), greatest_token_id);
  return value.get<std::int32_t>();
}

Vocabulary read_vocabulary(const JsonView& vocab, std::span<const AddedToken> added) {
  if (!vocab.is_object()) vocab.refuse("expected an object");
  const nlohmann::json& entries = vocab.raw();
  std::int32_t greatest = -1;
  for (const AddedToken& token : added) greatest = std::max(greatest, token.id);
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    greatest = std::max(greatest, id_in(entry.value(), vocab, entry.key()));
  }
  if (greatest < 0) fail("{}: expected at least one token", vocab.place());
  Vocabulary vocabulary(static_cast<std::size_t>(greatest) + 1, entries.size());
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    const auto id = entry.value().get<std::int32_t>();
    if (!vocabulary.set(id, entry.key())) {
      fail("{}: id {} is given to {} and to {}", vocab.place(), id, in_quotes(vocabulary.text(id)),
           in_quotes(entry.key()));
    }
    vocabulary.make_findable(id);
  }
  for (const AddedToken& token : added) {
    const auto known = vocabulary.find(token.content);
    if (known && *known != token.id) {
      fail("{}: {} is id {}, but id {} in added_tokens", vocab.place(), in_quotes(token.content), *known, token.id);
    }
    if (!known && !vocabulary.set(token.id, token.content)) {
      fail("{}: id {} is {}, but {} in added_tokens", vocab.place(), token.id, in_quotes(vocabulary.text(token.id)),
           in_quotes(token.content));
    }
  }
  return vocabulary;
}

// The two sides of a merge: "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> sides_of(const nlohmann::json& merge) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) return {};
    return {text.substr(0, space), text.substr(space + 1)};
  }
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return {};
  return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
}

void refuse_text(const JsonView& json, std::string_view key) {
  const auto found = json.find(key);
  if (found && !found->string().empty()) found->refuse("only the empty text is understood");
}

}  // namespace

BpeModel::BpeModel(const JsonView& json, std::span<const AddedToken> added, bool byte_level)
    : byte_level_(byte_level), vocabulary_(read_vocabulary(json.at("vocab"), added)) {
  read_options(json);
  read_merges(json.at("merges"));
  find_bytes();
  special_.resize(static_cast<std::size_t>(vocabulary_.size()));
  for (const AddedToken& token : added) special_[static_cast<std::size_t>(token.id)] = token.special;
}

void BpeModel::read_options(const JsonView& json) {
  const auto type = json.find("type");  // files before tokenizers 0.9 have none
  if (type && type->string() != "BPE") type->refuse("expected BPE");
  const auto dropout = json.find("dropout");
  if (dropout && dropout->number() != 0) dropout->refuse("expected none: ids would be random");
  refuse_text(json, "continuing_subword_prefix");
  refuse_text(json, "end_of_word_suffix");
  ignore_merges_ = boolean_or(json, "ignore_merges", false);
  byte_fallback_ = boolean_or(json, "byte_fallback", false);
  fuse_unk_ = boolean_or(json, "fuse_unk", false);
  if (const auto unk = json.find("unk_token")) {
    unk_id_ = vocabulary_.find(unk->string());
    if (!unk_id_) unk->refuse("expected a token of the vocabulary");
  }
}

void BpeModel::read_merges(const JsonView& json) {
  const std::size_t count = json.size();
  merger_.reserve(count);
  std::string joined;
  for (std::size_t i = 0; i < count; ++i) {
    const auto [left, right] = sides_of(json.raw()[i]);
    if (left.empty() || right.empty()) json[i].refuse("expected \"a b\" or [\"a\", \"b\"]");
    joined.assign(left).append(right);
    const auto left_id = vocabulary_.find(left);
    const auto right_id = vocabulary_.find(right);
    const auto merged_id = vocabulary_.find(joined);
    for (const auto& [id, text] :
         {std::pair(left_id, left), {right_id, right}, {merged_id, std::string_view(joined)}}) {
      if (!id) json[i].refuse(fmt::format("{} is not in the vocabulary", in_quotes(text)));
    }
    merger_.add(*left_id, *right_id, *merged_id, static_cast<std::uint32_t>(i));
  }
}

void BpeModel::find_bytes() {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string stand_in;
    append_utf8(stand_in, byte_level_char(static_cast<std::uint8_t>(byte)));
    byte_level_ids_[byte] = vocabulary_.find(stand_in).value_or(-1);
    byte_fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

void BpeModel::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    const auto id = byte_level_ ? vocabulary_.find(byte_level_token(word)) : vocabulary_.find(word);
    // A special token that is spelled here was not asked for.
    if (id && !special_[static_cast<std::size_t>(*id)]) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<std::int32_t> symbols = symbols_of(word);
  merger_.merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::vector<std::int32_t> BpeModel::symbols_of(std::string_view word) const {
  std::vector<std::int32_t> symbols;
  symbols.reserve(word.size());
  bool after_unknown = false;
  for (std::size_t i = 0; i < word.size();) {
    const std::string_view character = word.substr(i, byte_level_ ? 1 : first_char(word.substr(i)).length);
    i += character.size();
    const std::int32_t id = byte_level_ ? byte_level_ids_[static_cast<std::uint8_t>(character[0])]
                                        : vocabulary_.find(character).value_or(-1);
    if (id >= 0) {
      symbols.push_back(id);
      after_unknown = false;
    } else if (byte_fallback_ && append_bytes(character, symbols)) {
      after_unknown = false;
    } else if (unk_id_) {
      if (!fuse_unk_ || !after_unknown) symbols.push_back(*unk_id_);
      after_unknown = true;
    }
  }
  return symbols;
}

bool BpeModel::append_bytes(std::string_view character, std::vector<std::int32_t>& symbols) const {
  const auto id_of = [this](char byte) { return byte_fallback_ids_[static_cast<std::uint8_t>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char byte) { return id_of(byte) < 0; })) return false;
  std::transform(character.begin(), character.end(), std::back_inserter(symbols), id_of);
  return true;
}

}  // namespace precis
