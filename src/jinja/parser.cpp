#include "jinja/parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/error.h"
#include "jinja/expression_parser.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

using Kind = Statement::Kind;
using Node = std::unique_ptr<Statement>;
using Names = std::initializer_list<std::string_view>;

bool assigns(const Target& target, std::string_view name) {
  return target.name == name ||
         std::any_of(target.parts.begin(), target.parts.end(), [&](const Target& part) { return assigns(part, name); });
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : in_(std::move(tokens)) {}

  Block run();

 private:
  Block block(Names ends);
  Block body(Names ends);
  Node statement();
  Node make(Kind kind) const;
  void end_tag();

  Node output();
  Node choice();
  Node loop();
  Node set();
  Node macro();
  Node call();
  Node filter();
  Node with();
  Node group(std::string_view end);
  Node jump(Kind kind);
  void parameters(Macro& macro);

  ExpressionParser in_;
  int loops_ = 0;  // around here, within the macro
};

Node Parser::make(Kind kind) const {
  auto node = std::make_unique<Statement>();
  node->kind = kind;
  node->line = in_.line();
  return node;
}

void Parser::end_tag() {
  if (in_.token().kind != Token::Kind::block_end) in_.unexpected("%}");
  in_.take();
}

// Statements up to a tag that begins with one of `ends`, whose name is next, or to the end of the template.
Block Parser::block(Names ends) {
  const Nesting nesting(in_.depth());
  Block statements;
  for (;;) {
    switch (in_.token().kind) {
      case Token::Kind::data: {
        Node text = make(Kind::text);
        text->text = std::make_shared<const MarkedText>(in_.take().text, true);
        statements.push_back(std::move(text));
        break;
      }
      case Token::Kind::output_begin:
        statements.push_back(output());
        break;
      case Token::Kind::block_begin: {
        in_.take();
        const Token& name = in_.token();
        if (name.kind == Token::Kind::name && std::find(ends.begin(), ends.end(), name.text) != ends.end()) {
          return statements;
        }
        statements.push_back(statement());
        break;
      }
      default:
        if (ends.size() > 0) fail("{{% {} %}} expected, found the end of the template", *(ends.end() - 1));
        return statements;
    }
  }
}

// What stands between the end of this tag and a later one.
Block Parser::body(Names ends) {
  end_tag();
  return block(ends);
}

Node Parser::output() {
  in_.take();
  Node node = make(Kind::output);
  node->expression = in_.expressions();
  if (in_.token().kind != Token::Kind::output_end) in_.unexpected("}}");
  in_.take();
  return node;
}

Node Parser::statement() {
  const Token name = in_.token();
  if (name.kind != Token::Kind::name) in_.unexpected("a statement's name");
  if (name.text == "if") return choice();
  if (name.text == "for") return loop();
  if (name.text == "set") return set();
  if (name.text == "macro") return macro();
  if (name.text == "call") return call();
  if (name.text == "filter") return filter();
  if (name.text == "with") return with();
  if (name.text == "generation") return group("endgeneration");
  if (name.text == "break") return jump(Kind::stop);
  if (name.text == "continue") return jump(Kind::next);
  fail("the statement {} is not known here", in_quotes(name.text));
}

Node Parser::choice() {
  Node node = make(Kind::choice);
  for (;;) {
    Statement::Branch branch;
    if (in_.take().text != "else") {
      branch.condition = in_.expressions(false);
      branch.body = body({"elif", "else", "endif"});
    } else {
      branch.body = body({"endif"});
    }
    node->branches.push_back(std::move(branch));
    if (in_.at_name("endif")) break;
  }
  in_.take();
  end_tag();
  return node;
}

Node Parser::loop() {
  Node node = make(Kind::loop);
  in_.take();
  node->target = in_.target(false);
  if (assigns(node->target, "loop")) fail("loop cannot be the variable of a loop");
  in_.expect_name("in");
  node->expression = in_.expressions(false);
  if (in_.skip_name("if")) node->condition = in_.expression();
  if (in_.at_name("recursive")) fail("recursive loops are not supported");
  ++loops_;
  node->body = body({"else", "endfor"});
  --loops_;
  if (in_.skip_name("else")) node->otherwise = body({"endfor"});
  in_.take();
  end_tag();
  return node;
}

Node Parser::set() {
  Node node = make(Kind::set);
  in_.take();
  node->target = in_.target(true);
  if (in_.skip_sign("=")) {
    node->expression = in_.expressions();
  } else {
    node->kind = Kind::capture;
    node->expression = in_.captured_filters(false);
    node->body = body({"endset"});
    in_.take();
  }
  end_tag();
  return node;
}

void Parser::parameters(Macro& macro) {
  in_.expect_sign("(");
  while (!in_.at_sign(")")) {
    if (!macro.parameters.empty()) in_.expect_sign(",");
    Macro::Parameter parameter;
    parameter.name = in_.take_name("a parameter's name");
    if (in_.skip_sign("=")) {
      parameter.value = in_.expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().value) {
      fail("a parameter without a default stands behind one with a default");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  in_.take();
}

Node Parser::macro() {
  Node node = make(Kind::macro);
  in_.take();
  auto macro = std::make_unique<Macro>();
  macro->name = in_.take_name("a macro's name");
  parameters(*macro);
  const int outer = std::exchange(loops_, 0);
  macro->body = body({"endmacro"});
  loops_ = outer;
  in_.take();
  end_tag();
  node->macro = std::move(macro);
  return node;
}

Node Parser::call() {
  Node node = make(Kind::call);
  in_.take();
  auto caller = std::make_unique<Macro>();
  caller->name = "caller";
  if (in_.at_sign("(")) parameters(*caller);
  node->expression = in_.expression();
  if (node->expression->kind != Expression::Kind::call) fail("{{% call %}} expects a call");
  const int outer = std::exchange(loops_, 0);
  caller->body = body({"endcall"});
  loops_ = outer;
  in_.take();
  end_tag();
  node->macro = std::move(caller);
  return node;
}

Node Parser::filter() {
  Node node = make(Kind::filter);
  in_.take();
  node->expression = in_.captured_filters(true);
  node->body = body({"endfilter"});
  in_.take();
  end_tag();
  return node;
}

Node Parser::with() {
  Node node = make(Kind::with);
  in_.take();
  while (in_.token().kind != Token::Kind::block_end) {
    if (!node->assignments.empty()) in_.expect_sign(",");
    Target target;
    target.name = in_.take_name("a name to assign to");
    in_.expect_sign("=");
    node->assignments.emplace_back(std::move(target), in_.expression());
  }
  node->body = body({"endwith"});
  in_.take();
  end_tag();
  return node;
}

Node Parser::group(std::string_view end) {
  Node node = make(Kind::group);
  in_.take();
  const int outer = std::exchange(loops_, 0);
  node->body = body({end});
  loops_ = outer;
  in_.take();
  end_tag();
  return node;
}

Node Parser::jump(Kind kind) {
  Node node = make(kind);
  if (loops_ == 0) fail("{{% {} %}} stands in no loop", in_.token().text);
  in_.take();
  end_tag();
  return node;
}

Block Parser::run() {
  try {
    return block({});
  } catch (const Error& error) {
    throw error.within(fmt::format("line {}", in_.line()));
  }
}

}  // namespace

Block parse(std::string_view source) {
  return Parser(lex(source)).run();
}

}  // namespace precis::jinja
