#include "text/sentencepiece_model.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "text/token_decoder.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace precis {
namespace {

// Protocol buffers' wire types (protobuf.dev/programming-guides/encoding).
enum class Wire { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct Field {
  std::uint64_t number = 0;
  Wire wire = Wire::varint;
  std::uint64_t value = 0;  // of a varint
  std::string_view bytes;   // of the other types
};

// Field numbers of sentencepiece_model.proto.
namespace model_field {
constexpr std::uint64_t piece = 1, trainer = 2, normalizer = 3;
}
namespace piece_field {
constexpr std::uint64_t text = 1, score = 2, type = 3;
}
namespace trainer_field {
constexpr std::uint64_t model_type = 3, whitespace_as_suffix = 24, byte_fallback = 35, unknown_surface = 44;
}
namespace normalizer_field {
constexpr std::uint64_t charsmap = 2, dummy_prefix = 3, extra_whitespaces = 4, escape_whitespaces = 5;
}

// Walks the fields of one message.
class MessageReader {
 public:
  explicit MessageReader(std::string_view bytes) : rest_(bytes) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const std::uint64_t tag = varint();
    Field field{tag >> 3, static_cast<Wire>(tag & 7), 0, {}};
    if (field.number == 0) broken();
    switch (field.wire) {
      case Wire::varint:
        field.value = varint();
        break;
      case Wire::fixed64:
        field.bytes = take(8);
        break;
      case Wire::bytes:
        field.bytes = take(varint());
        break;
      case Wire::fixed32:
        field.bytes = take(4);
        break;
      default:
        broken();
    }
    return field;
  }

 private:
  [[noreturn]] static void broken() { fail("not a sentencepiece model: a broken or truncated message"); }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    broken();
  }

  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) broken();
    const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
};

void expect(const Field& field, Wire wire, std::string_view name) {
  if (field.wire != wire) fail("not a sentencepiece model: {} is of another type", name);
}

SentencePieceModel::Piece read_piece(std::string_view bytes, std::size_t id) {
  SentencePieceModel::Piece piece;
  MessageReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->number == piece_field::text) {
      expect(*field, Wire::bytes, "piece");
      piece.text = field->bytes;
    } else if (field->number == piece_field::score) {
      expect(*field, Wire::fixed32, "score");
      std::memcpy(&piece.score, field->bytes.data(), sizeof piece.score);
      if (std::isnan(piece.score)) fail("pieces[{}].score: expected a number", id);
    } else if (field->number == piece_field::type) {
      expect(*field, Wire::varint, "type");
      if (field->value < 1 || field->value > 6) {
        fail("pieces[{}].type: expected 1 to 6, found {}", id, field->value);
      }
      piece.type = static_cast<SentencePieceModel::Type>(field->value);
    }
  }
  if (piece.text.empty()) fail("pieces[{}]: an empty piece", id);
  if (!is_utf8(piece.text)) fail("pieces[{}]: {} is not UTF-8", id, in_quotes(piece.text));
  if (piece.type == SentencePieceModel::Type::byte && byte_of_token(piece.text) < 0) {
    fail("pieces[{}]: expected <0x00> to <0xFF> for a byte, found {}", id, in_quotes(piece.text));
  }
  return piece;
}

void read_trainer(std::string_view bytes, SentencePieceModel& model) {
  MessageReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->number == trainer_field::model_type) {
      constexpr std::uint64_t bpe = 2;
      model.is_bpe = field->value == bpe;
    } else if (field->number == trainer_field::byte_fallback) {
      model.byte_fallback = field->value != 0;
    } else if (field->number == trainer_field::whitespace_as_suffix) {
      if (field->value != 0) fail("trainer_spec.treat_whitespace_as_suffix: expected false");
    } else if (field->number == trainer_field::unknown_surface) {
      expect(*field, Wire::bytes, "unk_surface");
      model.unknown_surface = field->bytes;
    }
  }
}

void read_normalizer(std::string_view bytes, SentencePieceModel& model) {
  MessageReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->number == normalizer_field::charsmap) {
      // The library walks the compiled table without looking where it ends; no supported family has one.
      if (!field->bytes.empty())
        fail("normalizer_spec.precompiled_charsmap: only 'identity' normalisation is understood");
    } else if (field->number == normalizer_field::dummy_prefix) {
      model.add_dummy_prefix = field->value != 0;
    } else if (field->number == normalizer_field::extra_whitespaces) {
      model.remove_extra_whitespaces = field->value != 0;
    } else if (field->number == normalizer_field::escape_whitespaces) {
      if (field->value == 0) fail("normalizer_spec.escape_whitespaces: expected true");
    }
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes) {
  SentencePieceModel model;
  std::unordered_set<std::string> texts;
  MessageReader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->number == model_field::piece) {
      expect(*field, Wire::bytes, "pieces");
      if (model.pieces.size() > greatest_token_id) fail("more than {} pieces", greatest_token_id);
      model.pieces.push_back(read_piece(field->bytes, model.pieces.size()));
      const std::string& text = model.pieces.back().text;
      if (!texts.insert(text).second) fail("pieces[{}]: {} is there twice", model.pieces.size() - 1, in_quotes(text));
    } else if (field->number == model_field::trainer) {
      expect(*field, Wire::bytes, "trainer_spec");
      read_trainer(field->bytes, model);
    } else if (field->number == model_field::normalizer) {
      expect(*field, Wire::bytes, "normalizer_spec");
      read_normalizer(field->bytes, model);
    }
  }
  if (model.pieces.empty()) fail("not a sentencepiece model: no pieces");
  return model;
}

std::string without_dummy_prefix(std::string_view bytes) {
  // normalizer_spec { add_dummy_prefix: false }
  return std::string(bytes) + std::string("\x1A\x02\x18\x00", 4);
}

}  // namespace precis
