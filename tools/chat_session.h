// A chat as it is kept in a session file: the conversation and its settings as JSON, beside the engine's K and V.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conversation.h"
#include "precis/engine.h"

namespace precis {

struct ChatSession {
  Conversation conversation;
  std::string chat_template;                                  // as --chat-template had it
  std::vector<std::pair<std::string, std::string>> settings;  // as SamplingFlags::given()
};

// The session as JSON. `ids`: those that the file keeps K and V of; what the conversation shares with them is not
// written twice.
std::string session_note(const ChatSession& session, std::span<const std::int32_t> ids);
// Throws std::runtime_error with one line that names the field, what is there and what was expected.
ChatSession parse_session_note(std::string_view note, std::span<const std::int32_t> ids);

// What was written or read.
struct SessionSize {
  std::int64_t bytes = 0;
  std::int64_t tokens = 0;
};

// Throws std::runtime_error, or RunFailure where the disk is at fault.
SessionSize save_chat_session(Engine& engine, const std::filesystem::path& path, const ChatSession& session,
                              std::span<const std::int32_t> ids);
// `size` is filled in. Throws std::runtime_error for a file that is not what it should be; the engine is as before.
ChatSession load_chat_session(Engine& engine, const std::filesystem::path& path, SessionSize& size);

}  // namespace precis
