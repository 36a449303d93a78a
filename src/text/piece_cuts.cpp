#include "text/piece_cuts.h"

#include "text/utf8.h"

namespace precis {
namespace {

std::uint64_t pair_of(char32_t left, char32_t right) {
  // Pieces write a space as U+2581.
  const auto as_piece = [](char32_t code) -> std::uint64_t { return code == U' ' ? 0x2581 : code; };
  return as_piece(left) << 32 | as_piece(right);
}

}  // namespace

PieceCuts::PieceCuts(const SentencePieceModel& model) {
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    const std::string_view text = piece.text;
    Utf8Char left = first_char(text);
    for (std::size_t at = left.length; at < text.size();) {
      const Utf8Char right = first_char(text.substr(at));
      neighbours_.at_or(pair_of(left.code, right.code), 1);
      at += right.length;
      left = right;
    }
  }
}

std::size_t PieceCuts::next(std::string_view text, std::size_t wanted) const {
  if (wanted >= text.size()) return text.size();
  while (wanted > 0 && (static_cast<unsigned char>(text[wanted]) & 0xC0) == 0x80) --wanted;
  Utf8Char left = first_char(text.substr(wanted));
  for (std::size_t at = wanted + left.length; at < text.size();) {
    const Utf8Char right = first_char(text.substr(at));
    if (!neighbours_.find(pair_of(left.code, right.code))) return at;
    at += right.length;
    left = right;
  }
  return text.size();
}

}  // namespace precis
