#include "text/piece_merger.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "text/utf8.h"

namespace precis {
namespace {

using Type = SentencePieceModel::Type;

constexpr char32_t space_mark = 0x2581;

}  // namespace

PieceMerger::PieceMerger(const SentencePieceModel& model) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  std::vector<std::int32_t> by_score;
  std::unordered_set<char32_t> user_defined;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& [text, type, score] = model.pieces[i];
    // An unused piece is merged and taken apart again; leave models with such to sentencepiece.
    if (type == Type::unused) return;
    if (type == Type::user_defined) user_defined.insert(first_char(text).code);
    if (type != Type::normal) continue;
    ids.emplace(text, static_cast<std::int32_t>(i));
    by_score.push_back(static_cast<std::int32_t>(i));
  }
  const auto piece = [&model](std::int32_t id) -> const auto& {
    return model.pieces[static_cast<std::size_t>(id)];
  };
  std::stable_sort(by_score.begin(), by_score.end(),
                   [&](std::int32_t a, std::int32_t b) { return piece(a).score > piece(b).score; });
  std::uint32_t rank = 0;  // equal for equal scores
  for (std::size_t i = 0; i < by_score.size(); ++i) {
    const std::int32_t id = by_score[i];
    const std::string_view text = piece(id).text;
    if (i > 0 && piece(id).score < piece(by_score[i - 1]).score) ++rank;
    const Utf8Char first = first_char(text);
    if (first.length == text.size() && !user_defined.contains(first.code)) {
      chars_.at_or(first.code, static_cast<std::uint64_t>(id));
    }
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut));
      const auto right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end()) merger_.add(left->second, right->second, id, rank);
    }
  }
}

bool PieceMerger::encode(std::string_view text, bool dummy_space, std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t> symbols;
  symbols.reserve(text.size() + 1);
  const auto push = [&](char32_t code) {
    const std::uint64_t* id = chars_.find(code == U' ' ? space_mark : code);
    if (id) symbols.push_back(static_cast<std::int32_t>(*id));
    return id != nullptr;
  };
  if (dummy_space && !push(space_mark)) return false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = first_char(text.substr(at));
    if (!push(c.code)) return false;
    at += c.length;
  }
  merger_.merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
  return true;
}

}  // namespace precis
