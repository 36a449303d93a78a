// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace precis::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

enum class Operator { add, sub, mul, div, floordiv, mod, pow, eq, ne, lt, le, gt, ge, in, not_in, plus, minus };

struct Expression {
  enum class Kind {
    constant,     // value
    name,         // name
    captured,     // the text of the block whose filter this is
    list,         // parts
    tuple,        // parts
    dict,         // parts: key, value, key, value...
    attribute,    // parts[0].name
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1]:parts[2]:parts[3]], of which the last three may be null
    call,         // parts[0](parts[1]..., named...)
    filter,       // parts[0] | name(parts[1]..., named...)
    test,         // parts[0] is name(parts[1]..., named...)
    unary,        // operators[0] parts[0]
    binary,       // parts[0] operators[0] parts[1]
    compare,      // parts[0] operators[0] parts[1] operators[1] parts[2]...
    concat,       // parts, one after the other as text
    both,         // parts[0] and parts[1]
    either,       // parts[0] or parts[1]
    negation,     // not parts[0]
    conditional,  // parts[0] if parts[1] else parts[2], which may be null
  };
  Kind kind = Kind::constant;
  int line = 1;
  int depth = 1;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> parts;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<Operator> operators;
};

// What a loop or a set statement assigns to: a name, an attribute of a namespace, or several of them.
struct Target {
  std::string name;
  std::string attribute;  // of the namespace `name`
  std::vector<Target> parts;
};

struct Statement;
using Block = std::vector<std::unique_ptr<const Statement>>;

// {% macro name(parameters) %}, or the body of {% call %}.
struct Macro {
  struct Parameter {
    std::string name;
    ExpressionPtr value;  // null: none by default
  };
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
};

struct Statement {
  enum class Kind {
    text,
    output,   // expression
    choice,   // branches
    loop,     // target, expression, condition, body, otherwise
    set,      // target, expression
    capture,  // target, expression over the captured text, body
    macro,    // macro
    call,     // expression, which is a call; macro is the caller
    filter,   // expression over the captured text, body
    with,     // assignments, body
    group,    // body ({% generation %})
    stop,     // {% break %}
    next,     // {% continue %}
  };
  struct Branch {
    ExpressionPtr condition;  // null: else
    Block body;
  };
  Kind kind = Kind::text;
  int line = 1;
  TextPtr text;
  Target target;
  ExpressionPtr expression;
  ExpressionPtr condition;
  Block body;
  Block otherwise;
  std::vector<Branch> branches;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  std::unique_ptr<const Macro> macro;
};

}  // namespace precis::jinja
