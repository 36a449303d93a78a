#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "text/piece_cuts.h"
#include "text/piece_merger.h"
#include "text/sentencepiece_model.h"
#include "text/token_decoder.h"
#include "text/utf8.h"

namespace precis {
namespace {

using Type = SentencePieceModel::Type;
using Processor = sentencepiece::SentencePieceProcessor;

constexpr std::int64_t largest_model = 256 << 20;
constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581

std::unique_ptr<Processor> load(const std::string& bytes) {
  auto processor = std::make_unique<Processor>();
  const auto status = processor->LoadFromSerializedProto(bytes);
  if (!status.ok()) fail("sentencepiece refuses it: {}", status.ToString());
  return processor;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `inner` encodes text that is not the beginning of a text: no dummy space.
  SentencePieceTokenizer(Parts parts, SentencePieceModel model, std::unique_ptr<Processor> whole,
                         std::unique_ptr<Processor> inner)
      : Tokenizer(std::move(parts)),
        model_(std::move(model)),
        whole_(std::move(whole)),
        inner_(std::move(inner)),
        space_after_special_(config().legacy.value_or(true)) {
    // Other models join unknown characters, or spaces, across what would be a cut.
    if (model_.is_bpe && model_.byte_fallback && !model_.remove_extra_whitespaces) {
      cuts_.emplace(model_);
      merger_.emplace(model_);
    }
  }

  std::string token_bytes(std::int32_t id, bool first) const override {
    if (id < 0) return {};
    if (static_cast<std::size_t>(id) >= model_.pieces.size()) return piece(id);
    const auto& [text, type, score] = model_.pieces[static_cast<std::size_t>(id)];
    if (type == Type::control) return text;
    if (type == Type::unknown) return model_.unknown_surface;
    if (type == Type::byte) return std::string(1, static_cast<char>(byte_of_token(text)));
    const bool drops_space = first && (model_.add_dummy_prefix || model_.remove_extra_whitespaces);
    std::string bytes;
    for (std::string_view rest = text; !rest.empty();) {
      if (rest.starts_with(space_mark)) {
        if (rest.size() < text.size() || !drops_space) bytes += ' ';
        rest.remove_prefix(space_mark.size());
      } else {
        bytes += rest[0];
        rest.remove_prefix(1);
      }
    }
    return bytes;
  }

  std::string piece(std::int32_t id) const override {
    if (id < 0) return {};
    if (static_cast<std::size_t>(id) < model_.pieces.size()) return model_.pieces[static_cast<std::size_t>(id)].text;
    return added_text(id);
  }

 protected:
  void encode_plain(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const override {
    bool begins = at_start || space_after_special_;
    while (!text.empty()) {
      const std::size_t end = cuts_ ? cuts_->next(text, part_bytes) : text.size();
      const std::string_view part = text.substr(0, end);
      const bool merged =
          end >= long_part_bytes && merger_ && merger_->encode(part, begins && model_.add_dummy_prefix, ids);
      if (!merged) append_pieces(begins ? *whole_ : *inner_, part, ids);
      text.remove_prefix(end);
      begins = false;
    }
  }

 private:
  static constexpr std::size_t part_bytes = 4096;
  static constexpr std::size_t long_part_bytes = 2 * part_bytes;

  static void append_pieces(const Processor& processor, std::string_view text, std::vector<std::int32_t>& ids) {
    std::vector<int> pieces;
    const auto status = processor.Encode(text, &pieces);
    if (!status.ok()) fail("sentencepiece cannot encode the text: {}", status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  SentencePieceModel model_;
  std::unique_ptr<Processor> whole_;
  std::unique_ptr<Processor> inner_;
  bool space_after_special_;
  // Empty: sentencepiece gets every text whole.
  std::optional<PieceCuts> cuts_;
  std::optional<PieceMerger> merger_;
};

// The model's own special pieces, then what the configuration adds to them.
std::vector<AddedToken> added_tokens(const SentencePieceModel& model, const TokenizerConfig& config) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::map<std::int32_t, AddedToken> tokens;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& [text, type, score] = model.pieces[i];
    const auto id = static_cast<std::int32_t>(i);
    ids.emplace(text, id);
    if (type == Type::control || type == Type::unknown) tokens.emplace(id, AddedToken{id, text});
  }
  for (const AddedToken& token : config.added_tokens) {
    const bool of_model = static_cast<std::size_t>(token.id) < model.pieces.size();
    const auto known = ids.try_emplace(token.content, token.id);
    if (known.first->second != token.id || (of_model && known.second)) {
      fail("{}: added_tokens_decoder.{}: {} is not what tokenizer.model says", config.place, token.id,
           in_quotes(token.content));
    }
    const bool control = tokens.contains(token.id);
    AddedToken& kept = tokens.insert_or_assign(token.id, token).first->second;
    kept.special = kept.special || control;
    kept.normalized = false;  // nothing is normalised here but by sentencepiece itself
  }
  std::vector<AddedToken> list;
  for (auto& [id, token] : tokens) list.push_back(std::move(token));
  return list;
}

// The id of a token that the configuration names.
std::optional<std::int32_t> named_token(const std::optional<std::string>& name, std::string_view place,
                                        const SentencePieceModel& model, std::vector<AddedToken>& added) {
  if (!name || name->empty()) return std::nullopt;
  const auto known =
      std::find_if(added.begin(), added.end(), [&](const auto& token) { return token.content == *name; });
  if (known != added.end()) {
    known->special = true;
    return known->id;
  }
  const auto piece =
      std::find_if(model.pieces.begin(), model.pieces.end(), [&](const auto& p) { return p.text == *name; });
  if (piece == model.pieces.end()) fail("{}: {} is not a token of tokenizer.model", place, in_quotes(*name));
  const auto id = static_cast<std::int32_t>(piece - model.pieces.begin());
  added.push_back({id, *name});
  return id;
}

std::optional<std::int32_t> own_id(int id) {
  if (id < 0) return std::nullopt;
  return id;
}

Tokenizer::Parts parts_of(const SentencePieceModel& model, const Processor& processor, TokenizerConfig config) {
  Tokenizer::Parts parts;
  parts.added = added_tokens(model, config);
  parts.vocab_size = static_cast<std::int32_t>(model.pieces.size());
  parts.bos_id = named_token(config.bos_token, config.place + ": bos_token", model, parts.added);
  parts.eos_id = named_token(config.eos_token, config.place + ": eos_token", model, parts.added);
  if (!parts.bos_id) parts.bos_id = own_id(processor.bos_id());
  if (!parts.eos_id) parts.eos_id = own_id(processor.eos_id());
  // LlamaTokenizer's defaults.
  if (config.add_bos_token.value_or(parts.bos_id.has_value())) {
    if (!parts.bos_id) fail("{}: add_bos_token: true, but there is no such token", config.place);
    parts.prefix.push_back(*parts.bos_id);
  }
  if (config.add_eos_token.value_or(false)) {
    if (!parts.eos_id) fail("{}: add_eos_token: true, but there is no such token", config.place);
    parts.suffix.push_back(*parts.eos_id);
  }
  parts.config = std::move(config);
  return parts;
}

}  // namespace

std::unique_ptr<Tokenizer> open_sentencepiece_tokenizer(const std::filesystem::path& path, TokenizerConfig config) {
  const std::string bytes = read_text(path, largest_model);
  auto [model, processor] = within(path.string(), [&] {
    SentencePieceModel read = read_sentencepiece_model(bytes);
    auto loaded = load(bytes);
    if (static_cast<std::size_t>(loaded->GetPieceSize()) != read.pieces.size()) fail("sentencepiece sees other pieces");
    return std::pair(std::move(read), std::move(loaded));
  });
  auto inner = within(path.string(), [&] { return load(without_dummy_prefix(bytes)); });
  Tokenizer::Parts parts = parts_of(model, *processor, std::move(config));
  return std::make_unique<SentencePieceTokenizer>(std::move(parts), std::move(model), std::move(processor),
                                                  std::move(inner));
}

}  // namespace precis
