#include "session/session_file.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/error.h"

namespace precis {
namespace {

constexpr std::string_view magic = "PrecisSn";
constexpr std::uint32_t format_version = 1;
constexpr std::int64_t lead_bytes = 48;   // before the head
constexpr std::int64_t hashed_lead = 40;  // of these, before their own checksum
constexpr std::int64_t hash_bytes = 8;
constexpr std::int64_t most_head_bytes = std::int64_t{2} << 30;
constexpr std::uint32_t most_fields = 256;  // of a fingerprint

static_assert(std::endian::native == std::endian::little, "numbers and K and V are written as they are in memory");

std::uint64_t hash_of(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::int64_t blocks_of(std::int64_t data_bytes) {
  return data_bytes / session_block + (data_bytes % session_block == 0 ? 0 : 1);
}

std::int64_t file_bytes_of(std::int64_t head_bytes, std::int64_t data_bytes) {
  return checked_add(lead_bytes + head_bytes + blocks_of(data_bytes) * hash_bytes, data_bytes, "a session's bytes");
}

class ByteWriter {
 public:
  void number(std::integral auto value) { append(std::as_bytes(std::span(&value, 1))); }
  void text(std::string_view text) {
    number(static_cast<std::uint64_t>(text.size()));
    append(std::as_bytes(std::span(text.data(), text.size())));
  }
  void ids(std::span<const std::int32_t> ids) {
    number(static_cast<std::uint64_t>(ids.size()));
    append(std::as_bytes(ids));
  }
  void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Of bytes whose checksum is right: what does not fit was written so.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <std::integral T>
  T number(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  // A count or length.
  std::int64_t count(const char* what, std::int64_t high) {
    const auto value = number<std::uint64_t>(what);
    if (value > static_cast<std::uint64_t>(high)) fail("{}: {}, expected at most {}", what, value, high);
    return static_cast<std::int64_t>(value);
  }
  std::string text(const char* what) {
    const std::int64_t length = count(what, left());
    const std::span<const std::byte> bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::vector<std::int32_t> ids() {
    const std::int64_t size = count("ids", left() / std::int64_t{sizeof(std::int32_t)});
    const std::span<const std::byte> bytes = take(size * std::int64_t{sizeof(std::int32_t)}, "ids");
    std::vector<std::int32_t> ids(static_cast<std::size_t>(size));
    if (size > 0) std::memcpy(ids.data(), bytes.data(), bytes.size());
    return ids;
  }
  std::int64_t left() const { return static_cast<std::int64_t>(bytes_.size()); }

 private:
  std::span<const std::byte> take(std::int64_t size, const char* what) {
    if (size > left()) fail("{}: {} bytes, the head has {} left", what, size, left());
    const auto taken = bytes_.first(static_cast<std::size_t>(size));
    bytes_ = bytes_.subspan(static_cast<std::size_t>(size));
    return taken;
  }

  std::span<const std::byte> bytes_;
};

std::vector<std::byte> encoded(const SessionHead& head) {
  ByteWriter writer;
  writer.number(static_cast<std::uint32_t>(head.fingerprint.size()));
  for (const auto& [name, value] : head.fingerprint) {
    writer.text(name);
    writer.text(value);
  }
  writer.text(head.device);
  for (const std::int64_t number : {head.tokens, head.lowest, head.summarised}) {
    writer.number(static_cast<std::uint64_t>(number));
  }
  writer.ids(head.ids);
  writer.text(head.note);
  return writer.bytes();
}

SessionHead decoded(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  SessionHead head;
  const auto fields = reader.number<std::uint32_t>("fingerprint");
  if (fields > most_fields) fail("fingerprint: {} fields, expected at most {}", fields, most_fields);
  for (std::uint32_t i = 0; i < fields; ++i) {
    std::string name = reader.text("fingerprint");
    head.fingerprint.emplace_back(std::move(name), reader.text("fingerprint"));
  }
  head.device = reader.text("device");
  constexpr std::int64_t most = std::int64_t{1} << 40;
  head.tokens = reader.count("tokens", most);
  head.lowest = reader.count("lowest restart", most);
  head.summarised = reader.count("summarised chunks", most);
  head.ids = reader.ids();
  head.note = reader.text("note");
  if (reader.left() > 0) fail("the head has {} bytes too many", reader.left());
  if (head.tokens > std::ssize(head.ids)) fail("tokens: {}, of {} ids", head.tokens, head.ids.size());
  return head;
}

}  // namespace

std::string content_hash(std::span<const std::byte> bytes) {
  return fmt::format("{:016x}", hash_of(bytes, 0));
}

SessionWriter::SessionWriter(const std::filesystem::path& path, const SessionHead& head, std::int64_t data_bytes)
    : file_(path), left_(data_bytes) {
  const std::vector<std::byte> bytes = encoded(head);
  if (std::ssize(bytes) > most_head_bytes) {
    fail("{}: ids and note are {} bytes, expected at most {}", path.string(), bytes.size(), most_head_bytes);
  }
  ByteWriter lead;
  lead.append(std::as_bytes(std::span(magic.data(), magic.size())));
  lead.number(format_version);
  lead.number(static_cast<std::uint32_t>(session_block));
  lead.number(static_cast<std::uint64_t>(bytes.size()));
  lead.number(static_cast<std::uint64_t>(data_bytes));
  lead.number(hash_of(bytes, 0));
  PRECIS_CHECK(std::ssize(lead.bytes()) == hashed_lead);
  lead.number(hash_of(lead.bytes(), 0));
  file_bytes_ = file_bytes_of(std::ssize(bytes), data_bytes);
  file_.write(lead.bytes());
  file_.write(bytes);
}

void SessionWriter::write(std::span<const std::byte> block) {
  PRECIS_CHECK(std::ssize(block) == std::min(left_, session_block), "{} bytes of {}", block.size(), left_);
  const std::uint64_t hash = hash_of(block, ++blocks_);
  file_.write(block);
  file_.write(std::as_bytes(std::span(&hash, 1)));
  left_ -= std::ssize(block);
}

void SessionWriter::commit() {
  PRECIS_CHECK(left_ == 0, "{} bytes were not written", left_);
  file_.commit();
}

SessionReader::SessionReader(const std::filesystem::path& path) : file_(path) {
  within(path.string(), [&] { read_head(); });
}

void SessionReader::read_head() {
  std::vector<std::byte> lead(static_cast<std::size_t>(lead_bytes));
  const bool is_short = file_.bytes() < lead_bytes;
  file_.read(std::span(lead).first(static_cast<std::size_t>(is_short ? file_.bytes() : lead_bytes)));
  if (std::memcmp(lead.data(), magic.data(), magic.size()) != 0) fail("not a session: it begins otherwise");
  ByteReader reader{std::span(lead).subspan(magic.size())};
  if (const auto version = reader.number<std::uint32_t>("version"); !is_short && version != format_version) {
    fail("format version {}, expected {}", version, format_version);
  }
  const auto block = reader.number<std::uint32_t>("block");
  const auto head_bytes = reader.number<std::uint64_t>("head");
  const auto data_bytes = reader.number<std::uint64_t>("data");
  const auto head_hash = reader.number<std::uint64_t>("checksum");
  const std::uint64_t lead_hash = hash_of(std::span(lead).first(static_cast<std::size_t>(hashed_lead)), 0);
  if (is_short) fail("cut: {} bytes", file_.bytes());
  if (reader.number<std::uint64_t>("checksum") != lead_hash)
    fail("damaged: the first {} bytes have changed", lead_bytes);
  // From here on the numbers are those that were written, by whomever.
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 4);
  if (block != session_block) fail("blocks of {} bytes, expected {}", block, session_block);
  if (head_bytes > static_cast<std::uint64_t>(most_head_bytes) || data_bytes > most) {
    fail("a head of {} and data of {} bytes are too large", head_bytes, data_bytes);
  }
  data_bytes_ = static_cast<std::int64_t>(data_bytes);
  data_begin_ = lead_bytes + static_cast<std::int64_t>(head_bytes);
  const std::int64_t expected = file_bytes_of(static_cast<std::int64_t>(head_bytes), data_bytes_);
  if (file_.bytes() != expected) {
    fail("{}: {} bytes, expected {}", file_.bytes() < expected ? "cut" : "too long", file_.bytes(), expected);
  }
  std::vector<std::byte> head(static_cast<std::size_t>(head_bytes));
  file_.read(head);
  if (hash_of(head, 0) != head_hash) fail("damaged: the head of {} bytes has changed", head_bytes);
  head_ = decoded(head);
  left_ = data_bytes_;
}

std::span<const std::byte> SessionReader::read(std::span<std::byte> block) {
  const auto size = static_cast<std::size_t>(std::min(left_, session_block));
  const std::span<std::byte> bytes = block.first(size);
  const std::int64_t at = data_begin_ + (data_bytes_ - left_) + static_cast<std::int64_t>(blocks_) * hash_bytes;
  std::uint64_t hash = 0;
  file_.read(bytes);
  file_.read(std::as_writable_bytes(std::span(&hash, 1)));
  if (hash_of(bytes, ++blocks_) != hash) {
    fail("{}: damaged: {} bytes from {} on have changed", file_.path().string(), size, at);
  }
  left_ -= static_cast<std::int64_t>(size);
  return bytes;
}

void SessionReader::rewind() {
  file_.seek(data_begin_);
  left_ = data_bytes_;
  blocks_ = 0;
}

}  // namespace precis
