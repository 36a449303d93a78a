// One turn of a conversation.
#pragma once

#include <string>

namespace precis {

struct ChatMessage {
  std::string role;     // "system", "user" or "assistant"
  std::string content;  // UTF-8
};

}  // namespace precis
