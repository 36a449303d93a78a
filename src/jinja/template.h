// The Jinja that chat templates are written in (docs/chat-templates.md), set up as Hugging Face does.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/budget.h"
#include "jinja/evaluator.h"
#include "jinja/syntax.h"

namespace precis::jinja {

// Immutable; any number of threads may render it.
class Template {
 public:
  // Throws Error("line 3: ...").
  explicit Template(std::string_view source);

  // Throws Error("line 3: ...") where Jinja would, when the template raises an exception, and when it costs more than
  // `limits`. `now`: what strftime_now() takes for the time; none: the clock's.
  MarkedText render(const Variables& variables, const Limits& limits = {},
                    std::optional<std::time_t> now = std::nullopt) const;

 private:
  Block block_;
};

}  // namespace precis::jinja
