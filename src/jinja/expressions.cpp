// The part of Evaluator that computes values.
#include <algorithm>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "text/utf8.h"

namespace precis::jinja {

Value Evaluator::evaluate(const Expression& node) {
  context_.budget.step();
  if (node.kind == Expression::Kind::constant) return node.value;
  if (node.kind == Expression::Kind::name) return name(node);
  const Level level(context_);
  return evaluate_kind(node);
}

Value Evaluator::evaluate_kind(const Expression& node) {
  using Kind = Expression::Kind;
  switch (node.kind) {
    case Kind::constant:
    case Kind::name:
      break;  // seen to by evaluate()
    case Kind::captured:
      return captured_;
    case Kind::list:
    case Kind::tuple:
      return collection(node);
    case Kind::dict:
      return dict(node);
    case Kind::attribute:
      return attribute_of(context_, part(node, 0), node.name);
    case Kind::item: {
      const Value subject = part(node, 0);
      return subscript_of(context_, subject, part(node, 1));
    }
    case Kind::slice:
      return slice(node);
    case Kind::call:
      return call_node(node, Value());
    case Kind::filter: {
      const Value subject = part(node, 0);
      return apply_filter(context_, node.name, subject, arguments(node));
    }
    case Kind::test: {
      const Value subject = part(node, 0);
      return apply_test(context_, node.name, subject, arguments(node));
    }
    case Kind::unary:
      return signed_value(node.operators[0], part(node, 0));
    case Kind::binary: {
      const Value left = part(node, 0);
      return arithmetic(context_.budget, node.operators[0], left, part(node, 1));
    }
    case Kind::compare:
      return comparison(node);
    case Kind::concat:
      return concatenation(node);
    case Kind::both: {
      Value left = part(node, 0);
      return truth(left) ? part(node, 1) : left;
    }
    case Kind::either: {
      Value left = part(node, 0);
      return truth(left) ? left : part(node, 1);
    }
    case Kind::negation:
      return !truth(part(node, 0));
    case Kind::conditional:
      return conditional(node);
  }
  return Value();
}

Value Evaluator::name(const Expression& node) {
  for (const Scope* scope = scope_.get(); scope; scope = scope->outer.get()) {
    const auto found = scope->names.find(node.name);
    if (found != scope->names.end()) return found->second;
    context_.budget.step();
  }
  if (is_function(node.name)) {
    return std::make_shared<const Callable>(Callable{.kind = Callable::Kind::function, .name = node.name});
  }
  return make_undefined(fmt::format("{} is undefined", in_quotes(node.name)));
}

Value Evaluator::collection(const Expression& node) {
  context_.budget.items(node.parts.size());
  std::vector<Value> items;
  items.reserve(node.parts.size());
  for (const ExpressionPtr& item : node.parts) items.push_back(evaluate(*item));
  return make_list(std::move(items), node.kind == Expression::Kind::tuple ? List::Kind::tuple : List::Kind::list);
}

Value Evaluator::dict(const Expression& node) {
  context_.budget.items(node.parts.size());
  Dict entries;
  for (std::size_t i = 0; i < node.parts.size(); i += 2) {
    Value key = part(node, i);
    Value value = part(node, i + 1);
    if (!key.is_text() && !key.is_number() && !key.is_none()) {
      require_defined(key);
      fail("a value of type '{}' cannot be a key here", type_name(key));
    }
    const auto old = std::find_if(entries.entries.begin(), entries.entries.end(),
                                  [&](const auto& entry) { return equal(context_.budget, entry.first, key); });
    if (old != entries.entries.end()) {
      old->second = std::move(value);
    } else {
      entries.entries.emplace_back(std::move(key), std::move(value));
    }
  }
  return make_dict(std::move(entries.entries));
}

Value Evaluator::slice(const Expression& node) {
  const Value subject = part(node, 0);
  Value bounds[3] = {None{}, None{}, None{}};
  for (std::size_t i = 0; i < 3; ++i) {
    if (node.parts[i + 1]) bounds[i] = part(node, i + 1);
  }
  return slice_of(context_.budget, subject, bounds[0], bounds[1], bounds[2]);
}

// a < b < c: each value is computed once, and none behind a false comparison.
Value Evaluator::comparison(const Expression& node) {
  Value left = part(node, 0);
  for (std::size_t i = 0; i < node.operators.size(); ++i) {
    Value right = part(node, i + 1);
    if (!compare(context_.budget, node.operators[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::concatenation(const Expression& node) {
  MarkedText text;
  for (const ExpressionPtr& item : node.parts) {
    const MarkedText shown = printed(context_.budget, evaluate(*item));
    context_.budget.bytes(shown.size());
    text.append(shown);
  }
  return text;
}

Value Evaluator::conditional(const Expression& node) {
  if (truth(part(node, 1))) return part(node, 0);
  if (node.parts[2]) return part(node, 2);
  return make_undefined("the inline if-expression evaluated to false and no else section was defined");
}

Arguments Evaluator::arguments(const Expression& node) {
  Arguments arguments;
  context_.budget.items(node.parts.size() + node.named.size());
  for (std::size_t i = 1; i < node.parts.size(); ++i) arguments.positional.push_back(part(node, i));
  for (const auto& [name, value] : node.named) arguments.named.emplace_back(name, evaluate(*value));
  return arguments;
}

// `caller`: the body of a {% call %}, undefined elsewhere.
Value Evaluator::call_node(const Expression& node, Value caller) {
  const Value callee = part(node, 0);
  Arguments given = arguments(node);
  if (!caller.is_undefined()) given.named.emplace_back("caller", std::move(caller));
  line_ = node.line;
  return call(callee, std::move(given));
}

}  // namespace precis::jinja
