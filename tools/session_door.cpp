// Chat sessions through the engine's door.
#include <fmt/format.h>

#include <stdexcept>

#include "chat_session.h"

namespace precis {

SessionSize save_chat_session(Engine& engine, const std::filesystem::path& path, const ChatSession& session,
                              std::span<const std::int32_t> ids) {
  const SessionInfo info = engine.save_session(path, ids, session_note(session, ids));
  return {info.file_bytes, info.tokens};
}

ChatSession load_chat_session(Engine& engine, const std::filesystem::path& path, SessionSize& size) {
  const LoadedSession loaded = engine.load_session(path);
  std::error_code unknown;
  const auto bytes = std::filesystem::file_size(path, unknown);
  size = {unknown ? loaded.kv_bytes : static_cast<std::int64_t>(bytes), loaded.tokens};
  try {
    return parse_session_note(loaded.note, loaded.ids);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: no chat of precis: {}", path.string(), error.what()));
  }
}

}  // namespace precis
