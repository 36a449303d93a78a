#include "jinja/evaluator.h"

#include "base/error.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

// Puts a value back at the end of a block, however it is left.
template <typename T>
class Restored {
 public:
  Restored(T& place, T value) : place_(place), old_(std::exchange(place, std::move(value))) {}
  ~Restored() { place_ = std::move(old_); }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  T& place_;
  T old_;
};

std::shared_ptr<Scope> inside(const std::shared_ptr<Scope>& outer) {
  auto scope = std::make_shared<Scope>();
  scope->outer = outer;
  return scope;
}

Value macro_value(const Macro& macro, const std::shared_ptr<Scope>& scope) {
  return std::make_shared<const Callable>(
      Callable{.kind = Callable::Kind::macro, .name = macro.name, .macro = &macro, .scope = scope});
}

}  // namespace

Evaluator::Evaluator(const Variables& variables, Context context)
    : context_(std::move(context)), scope_(std::make_shared<Scope>()) {
  for (const auto& [name, value] : variables) scope_->names[name] = value;
}

Evaluator::~Evaluator() {
  for (const NamespacePtr& space : context_.spaces) space->attributes.clear();
}

MarkedText Evaluator::run(const Block& block) {
  MarkedText out;
  out_ = &out;
  try {
    run_block(block);
  } catch (const Error& error) {
    throw error.within(fmt::format("line {}", line_));
  }
  return out;
}

Evaluator::Flow Evaluator::run_block(const Block& block) {
  const Level level(context_);
  for (const auto& statement : block) {
    line_ = statement->line;
    context_.budget.step();
    const Flow flow = run_statement(*statement);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::run_statement(const Statement& statement) {
  switch (statement.kind) {
    case Statement::Kind::text:
      write(statement.text);
      break;
    case Statement::Kind::output:
      write(evaluate(*statement.expression));
      break;
    case Statement::Kind::choice:
      return run_choice(statement);
    case Statement::Kind::loop:
      return run_loop(statement);
    case Statement::Kind::with:
      return run_with(statement);
    case Statement::Kind::group: {
      const Restored scope(scope_, inside(scope_));
      return run_block(statement.body);
    }
    case Statement::Kind::set:
      assign(statement.target, evaluate(*statement.expression));
      break;
    case Statement::Kind::capture:
    case Statement::Kind::filter:
      run_capture(statement);
      break;
    case Statement::Kind::macro:
      scope_->names[statement.macro->name] = macro_value(*statement.macro, scope_);
      break;
    case Statement::Kind::call:
      run_call(statement);
      break;
    case Statement::Kind::stop:
      return Flow::stop;
    case Statement::Kind::next:
      return Flow::next;
  }
  return Flow::on;
}

Evaluator::Flow Evaluator::run_choice(const Statement& statement) {
  for (const Statement::Branch& branch : statement.branches) {
    if (!branch.condition || truth(evaluate(*branch.condition))) return run_block(branch.body);
  }
  return Flow::on;
}

// The items that a loop is for, those kept by its condition.
ListPtr Evaluator::filtered(const Statement& statement) {
  const ListPtr items = items_of(context_.budget, evaluate(*statement.expression));
  if (!statement.condition) return items;
  auto kept = std::make_shared<List>();
  const Restored scope(scope_, inside(scope_));
  for (const Value& item : items->items) {
    assign(statement.target, item);
    if (!truth(evaluate(*statement.condition))) continue;
    context_.budget.items(1);
    kept->items.push_back(item);
  }
  return kept;
}

// Each turn has names of its own: what a body sets is gone in the next.
Evaluator::Flow Evaluator::run_loop(const Statement& statement) {
  auto loop = std::make_shared<Loop>();
  loop->items = filtered(statement);
  // As in Jinja, the else block is for loops of which no turn came to its end.
  bool completed = false;
  for (std::size_t i = 0; i < loop->items->items.size(); ++i) {
    context_.budget.step();
    loop->index = i;
    const Restored scope(scope_, inside(scope_));
    scope_->names["loop"] = loop;
    assign(statement.target, loop->items->items[i]);
    const Flow flow = run_block(statement.body);
    if (flow == Flow::stop) break;
    completed = completed || flow == Flow::on;
  }
  if (completed) return Flow::on;
  const Restored scope(scope_, inside(scope_));
  return run_block(statement.otherwise);
}

Evaluator::Flow Evaluator::run_with(const Statement& statement) {
  // Values are those of outside, whatever is assigned before them.
  std::vector<Value> values;
  for (const auto& [target, expression] : statement.assignments) values.push_back(evaluate(*expression));
  const Restored scope(scope_, inside(scope_));
  for (std::size_t i = 0; i < values.size(); ++i) assign(statement.assignments[i].first, values[i]);
  return run_block(statement.body);
}

void Evaluator::run_call(const Statement& statement) {
  write(call_node(*statement.expression, macro_value(*statement.macro, scope_)));
}

void Evaluator::run_capture(const Statement& statement) {
  MarkedText text;
  {
    const Restored scope(scope_, inside(scope_));
    text = captured(statement.body);
  }
  const Value value = through_filters(statement.expression.get(), std::move(text));
  if (statement.kind == Statement::Kind::filter) {
    write(value);
  } else {
    assign(statement.target, value);
  }
}

Value Evaluator::through_filters(const Expression* filters, MarkedText text) {
  if (!filters) return text;
  const Restored captured(captured_, Value(std::move(text)));
  return evaluate(*filters);
}

MarkedText Evaluator::captured(const Block& block) {
  MarkedText text;
  const Restored out(out_, &text);
  run_block(block);
  return text;
}

void Evaluator::write(const Value& value) {
  if (value.is_text()) {
    context_.budget.bytes(value.text().size());
    context_.budget.output(out_->size() + value.text().size());
    out_->append(value.text());
    return;
  }
  const MarkedText text = printed(context_.budget, value);
  context_.budget.output(out_->size() + text.size());
  out_->append(text);
}

void Evaluator::assign(const Target& target, const Value& value) {
  context_.budget.step();
  if (!target.attribute.empty()) {
    Expression name;
    name.kind = Expression::Kind::name;
    name.name = target.name;
    const Value held = this->name(name);
    if (!held.space()) fail("{} is no namespace, so its attributes cannot be set", target.name);
    (*held.space())->attributes[target.attribute] = value;
    return;
  }
  if (target.parts.empty()) {
    scope_->names[target.name] = value;
    return;
  }
  require_defined(value);
  const ListPtr items = items_of(context_.budget, value);
  if (items->items.size() != target.parts.size()) {
    fail("{} values to unpack, {} expected", items->items.size(), target.parts.size());
  }
  for (std::size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], items->items[i]);
}

Value Evaluator::call(const Value& callee, Arguments arguments) {
  require_defined(callee);
  const CallablePtr* callable = callee.callable();
  if (!callable) fail("a value of type '{}' cannot be called", type_name(callee));
  const Level level(context_);
  switch ((*callable)->kind) {
    case Callable::Kind::function:
      return call_function(context_, (*callable)->name, arguments);
    case Callable::Kind::method:
      return call_method(context_, (*callable)->self, (*callable)->name, arguments);
    default:
      return call_macro(**callable, std::move(arguments));
  }
}

// A macro sees where it was defined, not where it is called.
Value Evaluator::call_macro(const Callable& callable, Arguments arguments) {
  const std::shared_ptr<Scope> defined = callable.scope.lock();
  if (!defined) fail("the macro {} is called outside the block that defines it", in_quotes(callable.name));
  const std::vector<Macro::Parameter>& parameters = callable.macro->parameters;
  if (arguments.positional.size() > parameters.size()) {
    fail("macro {} takes not more than {} arguments", in_quotes(callable.name), parameters.size());
  }
  const int line = line_;
  MarkedText text;
  {
    const Restored scope(scope_, inside(defined));
    std::size_t used = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Macro::Parameter& parameter = parameters[i];
      const Value* given = arguments.find(i, parameter.name);
      for (const auto& [name, value] : arguments.named) {
        if (name != parameter.name) continue;
        if (i < arguments.positional.size()) fail("macro {}: {} is given twice", in_quotes(callable.name), name);
        ++used;
      }
      Value value = make_undefined(fmt::format("parameter '{}' was not provided", parameter.name));
      if (given) {
        value = *given;
      } else if (parameter.value) {
        value = evaluate(*parameter.value);
      }
      scope_->names[parameter.name] = std::move(value);
    }
    for (const auto& [name, value] : arguments.named) {
      if (name != "caller") continue;
      scope_->names["caller"] = value;
      ++used;
    }
    if (used < arguments.named.size())
      fail("macro {} is given an argument that it does not take", in_quotes(callable.name));
    text = captured(callable.macro->body);
  }
  line_ = line;
  return text;
}

}  // namespace precis::jinja
