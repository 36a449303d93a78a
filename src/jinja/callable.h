// What a template can call, and the names that it sees.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "jinja/syntax.h"
#include "jinja/value.h"

namespace precis::jinja {

// The names of a block that has its own. Keys are views into the parsed template and the caller's variables.
struct Scope {
  std::unordered_map<std::string_view, Value> names;
  std::shared_ptr<Scope> outer;
};

struct Callable {
  enum class Kind { function, method, macro };
  Kind kind = Kind::function;
  std::string name;  // of a function or method
  Value self = {};   // a method's, or a loop
  const Macro* macro = nullptr;
  std::weak_ptr<Scope> scope = {};  // where a macro was defined; it does not keep it, or they would keep each other
};

// `loop` in a loop's body.
struct Loop {
  ListPtr items;
  std::size_t index = 0;
};

}  // namespace precis::jinja
