// Asks a model about documents, one question after the other.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "answer.h"
#include "needle_document.h"
#include "needle_result.h"
#include "precis/engine.h"

namespace precis {

class NeedleRunner {
 public:
  NeedleRunner(Engine& engine, const ChatForm& form) : engine_(engine), form_(form) {}

  // Asks the questions of `document`; `take` gets each result as it comes, `told` the number of each question before.
  // Throws RunFailure when the engine fails or somebody has cancelled.
  void ask(const NeedleDocument& document, std::size_t index, const std::function<void(std::size_t)>& told,
           const std::function<void(NeedleResult)>& take);

  // Ends the reply that is under way, and refuses more. Any thread.
  void cancel();
  bool cancelled();

 private:
  Answer reply_to(const std::vector<ChatMessage>& messages);

  Engine& engine_;
  const ChatForm& form_;
  std::mutex mutex_;
  bool cancelled_ = false;        // under mutex_
  std::optional<Stream> stream_;  // set and read by ask(); cancel() may be called on it, under mutex_
};

}  // namespace precis
