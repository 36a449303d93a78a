// Tokens to expressions, with Jinja's precedence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/lexer.h"
#include "jinja/syntax.h"

namespace precis::jinja {

// Counts how deep a parser is in itself.
class Nesting {
 public:
  // Throws Error where the source nests too deeply.
  explicit Nesting(int& depth);
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

// Reads from the front of a list of tokens. Its methods throw Error without a line; line() is where.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& token(std::size_t ahead = 0) const;
  Token take();
  int line() const { return token().line; }
  bool at_sign(std::string_view sign, std::size_t ahead = 0) const;
  bool at_name(std::string_view name, std::size_t ahead = 0) const;
  bool skip_sign(std::string_view sign);
  bool skip_name(std::string_view name);
  void expect_sign(std::string_view sign);
  void expect_name(std::string_view name);
  std::string take_name(std::string_view what);
  [[noreturn]] void unexpected(std::string_view expected) const;

  // `conditional`: x if y else z may stand there.
  ExpressionPtr expression(bool conditional = true);
  // One expression, or several with commas between them, which are a tuple.
  ExpressionPtr expressions(bool conditional = true);
  // | filter | filter... over the text of a block; null where there is none. `named`: the first has no | before it.
  ExpressionPtr captured_filters(bool named);
  // x, (y, z): what a loop or, with `spaces`, a set statement assigns to.
  Target target(bool spaces);

  int& depth() { return depth_; }

 private:
  ExpressionPtr conditional();
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr name_or_constant();
  ExpressionPtr number();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr subject);
  ExpressionPtr filters(ExpressionPtr subject);
  ExpressionPtr filter(ExpressionPtr subject);
  ExpressionPtr test(ExpressionPtr subject);
  ExpressionPtr attribute(ExpressionPtr subject);
  ExpressionPtr subscript(ExpressionPtr subject);
  ExpressionPtr call(ExpressionPtr subject);
  void arguments(Expression& node);
  bool at_tuple_end() const;
  Target one_target(bool spaces);

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace precis::jinja
