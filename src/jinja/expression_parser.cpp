#include "jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "base/error.h"
#include "text/utf8.h"

namespace precis::jinja {
namespace {

using Kind = Expression::Kind;
using Node = std::unique_ptr<Expression>;

// Of the source and of the tree, which chains of operators make deep too.
constexpr int greatest_nesting = 100;
constexpr int greatest_tree = 200;

Node make(Kind kind, int line) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  return node;
}

void deepen(Expression& node, const ExpressionPtr& part) {
  if (part) node.depth = std::max(node.depth, part->depth + 1);
  if (node.depth > greatest_tree) fail("an expression is nested deeper than {}", greatest_tree);
}

void add(Expression& node, ExpressionPtr part) {
  deepen(node, part);
  node.parts.push_back(std::move(part));
}

template <typename... Parts>
Node make(Kind kind, int line, Parts... parts) {
  Node node = make(kind, line);
  (add(*node, std::move(parts)), ...);
  return node;
}

Node make_constant(Value value, int line) {
  Node node = make(Kind::constant, line);
  node->value = std::move(value);
  return node;
}

struct Spelling {
  std::string_view sign;
  Operator op;
};

constexpr Spelling comparisons[] = {{"==", Operator::eq}, {"!=", Operator::ne}, {"<", Operator::lt},
                                    {"<=", Operator::le}, {">", Operator::gt},  {">=", Operator::ge}};
constexpr Spelling sums[] = {{"+", Operator::add}, {"-", Operator::sub}};
constexpr Spelling products[] = {
    {"*", Operator::mul}, {"/", Operator::div}, {"//", Operator::floordiv}, {"%", Operator::mod}};
constexpr Spelling powers[] = {{"**", Operator::pow}};

template <std::size_t N>
const Operator* operator_at(const ExpressionParser& parser, const Spelling (&spellings)[N]) {
  for (const Spelling& spelling : spellings) {
    if (parser.at_sign(spelling.sign)) return &spelling.op;
  }
  return nullptr;
}

Node make_binary(ExpressionPtr left, Operator op, ExpressionPtr right, int line) {
  Node node = make(Kind::binary, line, std::move(left), std::move(right));
  node->operators = {op};
  return node;
}

}  // namespace

Nesting::Nesting(int& depth) : depth_(depth) {
  if (depth_ >= greatest_nesting) fail("the template is nested deeper than {}", greatest_nesting);
  ++depth_;
}

const Token& ExpressionParser::token(std::size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

Token ExpressionParser::take() {
  Token taken = token();
  if (at_ + 1 < tokens_.size()) ++at_;
  return taken;
}

bool ExpressionParser::at_sign(std::string_view sign, std::size_t ahead) const {
  return token(ahead).kind == Token::Kind::sign && token(ahead).text == sign;
}

bool ExpressionParser::at_name(std::string_view name, std::size_t ahead) const {
  return token(ahead).kind == Token::Kind::name && token(ahead).text == name;
}

bool ExpressionParser::skip_sign(std::string_view sign) {
  if (!at_sign(sign)) return false;
  take();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  take();
  return true;
}

void ExpressionParser::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) unexpected(sign);
}

void ExpressionParser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected(name);
}

std::string ExpressionParser::take_name(std::string_view what) {
  if (token().kind != Token::Kind::name) unexpected(what);
  return take().text;
}

void ExpressionParser::unexpected(std::string_view expected) const {
  using Type = Token::Kind;
  std::string found = in_quotes(token().text);
  if (token().kind == Type::end) found = "the end of the template";
  if (token().kind == Type::block_end) found = "%}";
  if (token().kind == Type::output_end) found = "}}";
  if (token().kind == Type::string) found.insert(0, "the string ");
  fail("{} expected, found {}", expected, found);
}

ExpressionPtr ExpressionParser::expression(bool with_condition) {
  const Nesting nesting(depth_);
  return with_condition ? conditional() : either();
}

ExpressionPtr ExpressionParser::expressions(bool with_condition) {
  const int begin = line();
  ExpressionPtr first = expression(with_condition);
  if (!at_sign(",")) return first;
  Node tuple = make(Kind::tuple, begin, std::move(first));
  while (skip_sign(",") && !at_tuple_end()) add(*tuple, expression(with_condition));
  return tuple;
}

bool ExpressionParser::at_tuple_end() const {
  const Token::Kind kind = token().kind;
  return kind == Token::Kind::block_end || kind == Token::Kind::output_end || at_sign(")");
}

ExpressionPtr ExpressionParser::conditional() {
  ExpressionPtr value = either();
  while (at_name("if")) {
    const int begin = take().line;
    ExpressionPtr condition = either();
    ExpressionPtr otherwise;
    if (skip_name("else")) {
      const Nesting nesting(depth_);
      otherwise = conditional();
    }
    value = make(Kind::conditional, begin, std::move(value), std::move(condition), std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (at_name("or")) {
    const int begin = take().line;
    left = make(Kind::either, begin, std::move(left), both());
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = negation();
  while (at_name("and")) {
    const int begin = take().line;
    left = make(Kind::both, begin, std::move(left), negation());
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!at_name("not")) return comparison();
  const Nesting nesting(depth_);
  const int begin = take().line;
  return make(Kind::negation, begin, negation());
}

ExpressionPtr ExpressionParser::comparison() {
  const int begin = line();
  ExpressionPtr first = sum();
  Node node;
  for (;;) {
    Operator op = Operator::in;
    if (const Operator* found = operator_at(*this, comparisons)) {
      op = *found;
      take();
    } else if (at_name("not") && at_name("in", 1)) {
      op = Operator::not_in;
      take();
      take();
    } else if (!skip_name("in")) {
      break;
    }
    if (!node) node = make(Kind::compare, begin, std::move(first));
    add(*node, sum());
    node->operators.push_back(op);
  }
  if (node) return node;
  return first;
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (const Operator* op = operator_at(*this, sums)) {
    const int begin = take().line;
    left = make_binary(std::move(left), *op, concatenation(), begin);
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr first = product();
  if (!at_sign("~")) return first;
  Node node = make(Kind::concat, line(), std::move(first));
  while (skip_sign("~")) add(*node, product());
  return node;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  while (const Operator* op = operator_at(*this, products)) {
    const int begin = take().line;
    left = make_binary(std::move(left), *op, power(), begin);
  }
  return left;
}

// From the left, as in Jinja and unlike Python.
ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (const Operator* op = operator_at(*this, powers)) {
    const int begin = take().line;
    left = make_binary(std::move(left), *op, unary(true), begin);
  }
  return left;
}

// Filters bind less than a sign: -1|abs is 1.
ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (at_sign("-") || at_sign("+")) {
    const Nesting nesting(depth_);
    const Operator op = at_sign("-") ? Operator::minus : Operator::plus;
    const int begin = take().line;
    Node node = make(Kind::unary, begin, unary(false));
    node->operators = {op};
    value = std::move(node);
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const int begin = line();
  switch (token().kind) {
    case Token::Kind::name:
      return name_or_constant();
    case Token::Kind::string: {
      std::string text;
      while (token().kind == Token::Kind::string) text += take().text;
      return make_constant(make_text(std::move(text)), begin);
    }
    case Token::Kind::integer:
    case Token::Kind::number:
      return number();
    default:
      break;
  }
  if (at_sign("[")) return list();
  if (at_sign("{")) return dict();
  if (!skip_sign("(")) unexpected("an expression");
  ExpressionPtr inside;
  if (at_sign(")")) {
    inside = make(Kind::tuple, begin);
  } else {
    inside = expressions();
  }
  expect_sign(")");
  return inside;
}

ExpressionPtr ExpressionParser::name_or_constant() {
  const Token name = take();
  if (name.text == "true" || name.text == "True") return make_constant(true, name.line);
  if (name.text == "false" || name.text == "False") return make_constant(false, name.line);
  if (name.text == "none" || name.text == "None") return make_constant(None{}, name.line);
  Node node = make(Kind::name, name.line);
  node->name = name.text;
  return node;
}

ExpressionPtr ExpressionParser::number() {
  const Token token = take();
  const char* end = token.text.data() + token.text.size();
  if (token.kind == Token::Kind::number) {
    double value = 0;
    const auto parsed = std::from_chars(token.text.data(), end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end) fail("{} is no number that fits 64 bits", in_quotes(token.text));
    return make_constant(value, token.line);
  }
  const char letter = token.text.size() > 2 ? static_cast<char>(token.text[1] | 0x20) : '\0';
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  const char* begin = token.text.data() + (base == 10 ? 0 : 2);
  // Python refuses 007, as it was once octal.
  const bool zeros = base == 10 && token.text[0] == '0' && token.text.find_first_not_of('0') != std::string::npos;
  std::int64_t value = 0;
  const auto parsed = std::from_chars(begin, end, value, base);
  if (zeros || parsed.ec != std::errc() || parsed.ptr != end) {
    fail("{} is no integer that fits 64 bits", in_quotes(token.text));
  }
  return make_constant(value, token.line);
}

ExpressionPtr ExpressionParser::list() {
  Node node = make(Kind::list, take().line);
  while (!at_sign("]")) {
    if (!node->parts.empty()) expect_sign(",");
    if (at_sign("]")) break;
    add(*node, expression());
  }
  take();
  return node;
}

ExpressionPtr ExpressionParser::dict() {
  Node node = make(Kind::dict, take().line);
  while (!at_sign("}")) {
    if (!node->parts.empty()) expect_sign(",");
    if (at_sign("}")) break;
    add(*node, expression());
    expect_sign(":");
    add(*node, expression());
  }
  take();
  return node;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr subject) {
  for (;;) {
    if (at_sign(".")) {
      subject = attribute(std::move(subject));
    } else if (at_sign("[")) {
      subject = subscript(std::move(subject));
    } else if (at_sign("(")) {
      subject = call(std::move(subject));
    } else {
      return subject;
    }
  }
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr subject) {
  const int begin = take().line;
  if (token().kind == Token::Kind::integer) return make(Kind::item, begin, std::move(subject), number());
  Node node = make(Kind::attribute, begin, std::move(subject));
  node->name = take_name("a name behind .");
  return node;
}

// subject[index], subject[from:to:step].
ExpressionPtr ExpressionParser::subscript(ExpressionPtr subject) {
  const int begin = take().line;
  std::vector<ExpressionPtr> bounds(1);
  if (!at_sign(":")) bounds[0] = expression();
  while (bounds.size() < 3 && skip_sign(":")) {
    bounds.push_back(at_sign(":") || at_sign("]") ? nullptr : expression());
  }
  expect_sign("]");
  if (bounds.size() == 1) return make(Kind::item, begin, std::move(subject), std::move(bounds[0]));
  bounds.resize(3);
  return make(Kind::slice, begin, std::move(subject), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2]));
}

ExpressionPtr ExpressionParser::call(ExpressionPtr subject) {
  Node node = make(Kind::call, line(), std::move(subject));
  arguments(*node);
  return node;
}

void ExpressionParser::arguments(Expression& node) {
  expect_sign("(");
  for (bool first = true; !at_sign(")"); first = false) {
    if (!first) expect_sign(",");
    if (at_sign(")")) break;
    if (at_sign("*") || at_sign("**")) fail("arguments by * and ** are not supported");
    if (token().kind == Token::Kind::name && at_sign("=", 1)) {
      std::string name = take().text;
      take();
      ExpressionPtr value = expression();
      deepen(node, value);
      node.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!node.named.empty()) fail("an argument without a name stands behind one with a name");
      add(node, expression());
    }
  }
  take();
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr subject) {
  for (;;) {
    if (at_sign("|")) {
      take();
      subject = filter(std::move(subject));
    } else if (at_name("is")) {
      subject = test(std::move(subject));
    } else if (at_sign("(")) {
      subject = call(std::move(subject));
    } else {
      return subject;
    }
  }
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr subject) {
  Node node = make(Kind::filter, line(), std::move(subject));
  node->name = take_name("a filter's name");
  while (skip_sign(".")) {
    node->name += '.';
    node->name += take_name("a filter's name");
  }
  if (at_sign("(")) arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::captured_filters(bool named) {
  if (!named && !at_sign("|")) return nullptr;
  ExpressionPtr subject = make(Kind::captured, line());
  if (named) subject = filter(std::move(subject));
  while (skip_sign("|")) subject = filter(std::move(subject));
  return subject;
}

// An argument may stand behind the test without brackets: x is divisibleby 3.
ExpressionPtr ExpressionParser::test(ExpressionPtr subject) {
  const int begin = take().line;
  const bool negated = skip_name("not");
  Node node = make(Kind::test, begin, std::move(subject));
  node->name = take_name("a test's name");
  const Token::Kind kind = token().kind;
  if (at_sign("(")) {
    arguments(*node);
  } else if (kind == Token::Kind::string || kind == Token::Kind::integer || kind == Token::Kind::number ||
             at_sign("[") || at_sign("{") ||
             (kind == Token::Kind::name && !at_name("else") && !at_name("or") && !at_name("and"))) {
    if (at_name("is")) fail("tests cannot be chained with is");
    add(*node, postfix(primary()));
  }
  if (!negated) return node;
  return make(Kind::negation, begin, ExpressionPtr(std::move(node)));
}

Target ExpressionParser::one_target(bool spaces) {
  Target target;
  if (skip_sign("(")) {
    const Nesting nesting(depth_);
    target = this->target(spaces);
    expect_sign(")");
    return target;
  }
  target.name = take_name("a name to assign to");
  constexpr std::string_view constants[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(constants), std::end(constants), target.name) != std::end(constants)) {
    fail("{} cannot be assigned to", target.name);
  }
  if (spaces && skip_sign(".")) target.attribute = take_name("an attribute's name");
  return target;
}

Target ExpressionParser::target(bool spaces) {
  Target first = one_target(spaces);
  if (!at_sign(",")) return first;
  Target all;
  all.parts.push_back(std::move(first));
  while (skip_sign(",") && ((token().kind == Token::Kind::name && !at_name("in")) || at_sign("("))) {
    all.parts.push_back(one_target(spaces));
  }
  return all;
}

}  // namespace precis::jinja
