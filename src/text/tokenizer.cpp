#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/bpe_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"
#include "text/utf8_stream.h"

namespace precis {
namespace {

std::vector<AddedToken> sorted_by_id(std::vector<AddedToken> tokens) {
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return tokens;
}

// Those looked for in the text as it was given: special ones in any case, since who wrote a stretch of text is known
// before normalisation only.
std::vector<AddedToken> raw_tokens(const std::vector<AddedToken>& tokens) {
  std::vector<AddedToken> raw;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(raw),
               [](const AddedToken& token) { return token.special || !token.normalized; });
  return raw;
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

Tokenizer::Tokenizer(Parts parts)
    : config_(std::move(parts.config)),
      added_(sorted_by_id(std::move(parts.added))),
      finder_(raw_tokens(added_)),
      vocab_size_(parts.vocab_size),
      bos_id_(parts.bos_id),
      prefix_(std::move(parts.prefix)),
      suffix_(std::move(parts.suffix)) {
  if (parts.eos_id) eos_ids_.push_back(*parts.eos_id);
  if (!added_.empty()) vocab_size_ = std::max(vocab_size_, added_.back().id + 1);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextSegment segment{text, options.parse_special};
  return encode(std::span(&segment, 1), options);
}

std::vector<std::int32_t> Tokenizer::encode(std::span<const TextSegment> segments, const EncodeOptions& options) const {
  std::string text;
  std::vector<TextRange> trusted;
  for (const TextSegment& segment : segments) {
    const std::size_t begin = text.size();
    text += to_utf8(segment.text);
    if (!segment.parse_special || text.size() == begin) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  std::vector<std::int32_t> ids;
  const std::vector<std::int32_t> bos = bos_id_ ? std::vector{*bos_id_} : std::vector<std::int32_t>();
  if (options.add_bos.value_or(!prefix_.empty())) ids = prefix_.empty() ? bos : prefix_;
  std::size_t done = 0;
  const auto plain_until = [&](std::size_t end) {
    if (done < end) encode_plain(std::string_view(text).substr(done, end - done), done == 0, ids);
  };
  for (const AddedTokens::Match& match : finder_.find(text, trusted)) {
    plain_until(match.range.begin);
    ids.push_back(match.id);
    done = match.range.end;
  }
  plain_until(text.size());
  if (options.add_eos.value_or(!suffix_.empty())) {
    const std::vector<std::int32_t>& end = suffix_.empty() ? eos_ids_ : suffix_;
    ids.insert(ids.end(), end.begin(), end.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  Utf8Stream stream(*this, skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto found = std::find_if(added_.begin(), added_.end(), [&](const auto& a) { return a.content == token; });
  if (found == added_.end()) return std::nullopt;
  return found->id;
}

const AddedToken* Tokenizer::added_token(std::int32_t id) const {
  const auto before = [](const AddedToken& token, std::int32_t wanted) { return token.id < wanted; };
  const auto found = std::lower_bound(added_.begin(), added_.end(), id, before);
  return found != added_.end() && found->id == id ? &*found : nullptr;
}

bool Tokenizer::is_special(std::int32_t id) const {
  const AddedToken* token = added_token(id);
  return token && token->special;
}

std::string Tokenizer::added_text(std::int32_t id) const {
  const AddedToken* token = added_token(id);
  return token ? token->content : std::string();
}

std::unique_ptr<Tokenizer> open_tokenizer(const Folder& folder) {
  try {
    TokenizerConfig config = read_tokenizer_config(folder);
    if (folder.has("tokenizer.json")) return open_bpe_tokenizer(folder.at("tokenizer.json"), std::move(config));
    if (folder.has("tokenizer.model")) {
      return open_sentencepiece_tokenizer(folder.at("tokenizer.model"), std::move(config));
    }
  } catch (const Error& error) {
    // Names of fields come from the file and may hold anything.
    throw Error(one_line(error.what()));
  }
  fail("{}: no tokenizer.json and no tokenizer.model", folder.path().string());
}

}  // namespace precis
