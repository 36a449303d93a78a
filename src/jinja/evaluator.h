// Runs a parsed template.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/callable.h"
#include "jinja/library.h"
#include "jinja/syntax.h"

namespace precis::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

// For one rendering. The template and the variables outlive it.
class Evaluator {
 public:
  Evaluator(const Variables& variables, Context context);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // Throws Error("line 3: ...").
  MarkedText run(const Block& block);

 private:
  enum class Flow { on, stop, next };  // how a block was left

  // Statements.
  Flow run_block(const Block& block);
  Flow run_statement(const Statement& statement);
  Flow run_choice(const Statement& statement);
  Flow run_loop(const Statement& statement);
  Flow run_with(const Statement& statement);
  void run_call(const Statement& statement);
  void run_capture(const Statement& statement);
  ListPtr filtered(const Statement& statement);
  void write(const Value& value);
  MarkedText captured(const Block& block);
  Value through_filters(const Expression* filters, MarkedText text);
  void assign(const Target& target, const Value& value);

  // Expressions.
  Value evaluate(const Expression& node);
  Value evaluate_kind(const Expression& node);
  Value name(const Expression& node);
  Value collection(const Expression& node);
  Value dict(const Expression& node);
  Value slice(const Expression& node);
  Value comparison(const Expression& node);
  Value concatenation(const Expression& node);
  Value conditional(const Expression& node);
  Value call_node(const Expression& node, Value caller);
  Arguments arguments(const Expression& node);
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const Callable& callable, Arguments arguments);
  Value part(const Expression& node, std::size_t index) { return evaluate(*node.parts[index]); }

  Context context_;
  std::shared_ptr<Scope> scope_;
  MarkedText* out_ = nullptr;
  Value captured_;  // what a block's filters are applied to
  int line_ = 1;
};

}  // namespace precis::jinja
