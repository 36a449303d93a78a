#include "jinja/template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "base/error.h"

namespace precis::jinja {
namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

// The text with what is not trusted in brackets.
std::string marked(const std::string& source) {
  const Variables variables = {{"u", make_text("<u>a b</u>", false)}, {"t", make_text("<t>", true)}};
  const MarkedText text = Template(source).render(variables);
  std::string shown;
  std::size_t begin = 0;
  for (const MarkedText::Run& run : text.runs()) {
    const std::string part(text.bytes().substr(begin, run.end - begin));
    shown += run.trusted ? part : "[" + part + "]";
    begin = run.end;
  }
  return shown;
}

TEST(JinjaTemplate, MarksSurviveEveryWayToMakeText) {
  EXPECT_EQ(marked("a{{ u }}b{{ t }}"), "a[<u>a b</u>]b<t>");
  EXPECT_EQ(marked("{{ '<' + u + t ~ u ~ 1 }}"), "<[<u>a b</u>]<t>[<u>a b</u>]1");
  EXPECT_EQ(marked("{{ (t + u + t)[1:5] }}"), "t>[<u]");
  EXPECT_EQ(marked("{{ (t + u)[::-1] }}"), "[>u/<b a>u<]>t<");
  EXPECT_EQ(marked("{{ (' ' + u + '  ') | trim }}"), "[<u>a b</u>]");
  EXPECT_EQ(marked("{{ u.strip('<') ~ u[0] }}"), "[u>a b</u><]");
  EXPECT_EQ(marked("{{ (u ~ t) | replace('<', '{') }}"), "{[u>a b]{[/u>]{t>");
  EXPECT_EQ(marked("{{ 'a-b'.replace('-', u) }}"), "a[<u>a b</u>]b");
  EXPECT_EQ(marked("{{ u.split(' ')[1] ~ t.split('t')[0] }}"), "[b</u>]<");
  EXPECT_EQ(marked("{{ [u, t] | join('|') }}"), "[<u>a b</u>]|<t>");
  EXPECT_EQ(marked("{{ '|'.join([u, t]) }}"), "[<u>a b</u>]|<t>");
  EXPECT_EQ(marked("{{ (u ~ t) | upper }}"), "[<U>A B</U>]<T>");
  EXPECT_EQ(marked("{{ u * 2 }}{{ '%s' % u }}"), "[<u>a b</u><u>a b</u><u>a b</u>]");
  EXPECT_EQ(marked("{{ [u] }}"), "['[<u>a b</u>]']");
  EXPECT_EQ(marked("{{ {'k': u} | tojson }}"), "[{\"]k[\": \"<u>a b</u>\"}]");
  EXPECT_EQ(marked("{% for c in u[:2] %}{{ c }}.{% endfor %}"), "[<].[u].");
  EXPECT_EQ(marked("{% set x %}a{{ u }}{% endset %}{{ x }}"), "a[<u>a b</u>]");
  EXPECT_EQ(marked("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(u) | indent }}"), "<[<u>a b</u>]>");
  EXPECT_EQ(marked("{{ u | list | join }}{{ u | first }}{{ u.splitlines() | last }}"), "[<u>a b</u><<u>a b</u>]");
  EXPECT_EQ(marked("{{ u | default('x') }}{{ missing | default(u) }}"), "[<u>a b</u><u>a b</u>]");
  EXPECT_EQ(marked("{{ u | string | safe }}{{ u or t }}{{ u if true }}"), "[<u>a b</u><u>a b</u><u>a b</u>]");
  EXPECT_EQ(marked("{{ dict(k=u).k ~ dict(k=u).items() | map('last') | first }}"), "[<u>a b</u><u>a b</u>]");
  EXPECT_EQ(marked("{{ u | escape }}"), "[&lt;u&gt;a b&lt;/u&gt;]");
}

// All that is hostile ends in one line within a second; under a sanitizer, in some.
TEST(JinjaTemplate, HostileTemplatesEndInOneLine) {
  const std::string loop = "{% for a in range(99999) %}";
  const std::vector<std::string> hostile = {
      repeated("(", 100'000),
      "{{ " + repeated("(", 100'000),
      "{{ " + repeated("[", 50'000) + repeated("]", 50'000) + " }}",
      "{{ " + repeated("{1:", 50'000),
      "{{ " + repeated("-", 100'000) + "1 }}",
      "{{ " + repeated("not ", 50'000) + "1 }}",
      "{{ 1" + repeated("+1", 100'000) + " }}",
      "{{ 1" + repeated("|abs", 50'000) + " }}",
      "{{ a" + repeated(".a", 100'000) + " }}",
      "{{ a" + repeated("(1)", 50'000) + " }}",
      "{{ 1" + repeated(" if 1 else 1", 20'000) + " }}",
      "{{ [1]|map(" + repeated("'map',", 40'000) + "'abs')|list }}",
      repeated("{% if 1 %}", 20'000),
      repeated("{% for a in b %}", 10'000),
      "{% set " + repeated("(", 100'000) + "a",
      repeated("{% raw %}", 20'000),
      "{{ 'a' * 1000000000000 }}",
      "{{ 'a' * 9223372036854775807 * 9223372036854775807 }}",
      "{{ [1] * 1000000000000 }}",
      "{{ [[]] * 100000000 }}",
      "{{ range(1000000000000) }}",
      "{{ 9 ** 9 ** 9 ** 9 }}",
      loop + loop + loop + loop + "{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
      "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
      "{% set n = namespace(s='a') %}" + loop + "{% set n.s = n.s + n.s %}{% endfor %}",
      "{% set n = namespace(s=[1]) %}" + loop + "{% set n.s = n.s + n.s %}{% endfor %}",
      "{% set n = namespace(s=[]) %}" + loop + "{% set n.s = [n.s] %}{% endfor %}",
      "{% set n = namespace(s={}) %}" + loop + "{% set n.s = {'a': n.s} %}{% endfor %}",
      "{% set n = namespace(s=[]) %}" + repeated("{% set n.s = [n.s, n.s] %}", 60) + "{{ n.s }}",
      "{% set n = namespace(s=[], t=[]) %}" + repeated("{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}", 60) +
          "{{ n.s == n.t }}",
      "{% set n = namespace(s=[]) %}" + repeated("{% set n.s = [n.s, n.s] %}", 60) + "{{ n.s | tojson }}",
      "{% set n = namespace() %}{% set n.n = n %}{{ n }}",
      "{% set n = namespace() %}{% set n.n = [n] %}{{ n.n }}",
      "{% set s = 'a' * 1000000 %}" + loop + "{{ s in s ~ 'b' }}{% endfor %}",
      "{% set s = 'a' * 1000000 %}" + loop + "{{ (s ~ 'b').rsplit('b') }}{% endfor %}",
      "{{ ('a' * 10000000).replace('a', 'b' * 10000000) }}",
      "{{ ('a' * 10000000).split('a') | length }}",
      "{{ ('a' * 10000000) | list | length }}",
      "{{ ('a ' * 5000000) | title | wordcount }}{{ 'a' | indent(1000000000) }}" + loop + loop +
          "{% endfor %}{% endfor %}",
      "{{ '%999999999d' % 1 }}",
      "{{ '%1000d' % 1 }}" + loop + "{{ '%1000d' % 1 }}{% endfor %}" + loop + loop + "{% endfor %}{% endfor %}",
      "{{ {'a': 1} | tojson(indent=1000000000) }}",
      "{{ strftime_now('%9999999d' * 1000) }}",
      "{{ range(99999) | map('string') | join(',' * 99999) }}",
      loop + "{{ range(99999) | sort | unique | list }}{% endfor %}",
      "{{ range(99999) | unique | list | length }}",
      "{{ raise_exception('a\nb' * 1000) }}",
      "{{ '\\ud800' }}",
      "{{ '\\U00110000' }}",
      std::string("{{ '\0' ", 8),
      "{{ \xff }}",
      std::string(300'000, 'a'),
  };
  for (const std::string& source : hostile) {
    const auto begin = std::chrono::steady_clock::now();
    std::string error;
    try {
      Template(source).render({});
    } catch (const Error& refused) {
      error = refused.what();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    // What is plain text or ends in time needs no error.
    const bool plain = source.starts_with("(((");
    EXPECT_EQ(error.empty(), plain) << source.substr(0, 100);
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_LT(error.size(), 700u) << source.substr(0, 100);
    EXPECT_LT(seconds, 10.0) << source.substr(0, 100);
    if (seconds > 0.3)
      std::printf("%.2f s: %s: %s\n", seconds, source.substr(0, 60).c_str(), error.substr(0, 80).c_str());
  }
}

// A source cut anywhere, or with a character exchanged, renders or is refused.
TEST(JinjaTemplate, BrokenSourcesNeverCrash) {
  const std::string source =
      "{% macro m(a, b=1) -%} {{ a[1:-1] ~ b|d('\\x41') }} {%- endmacro %}{# c #}{% for k, v in {'a': [1, "
      "(2,)]}.items() "
      "if k is string and not v == 2 ** 3 // 1.5 %}{% set x | upper %}{{ m(k, b=v) }}{% endset %}{{ x if loop.first "
      "else "
      "y }}{% else %}{% raw %}{{ {% endraw %}{% endfor %}{% call(q) m('z') %}{{ q }}{% endcall %}";
  int rendered = 0;
  const auto attempt = [&](const std::string& text) {
    try {
      Template(text).render({});
      ++rendered;
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    }
  };
  for (std::size_t i = 0; i <= source.size(); ++i) {
    attempt(source.substr(0, i));
    attempt(source.substr(i));
    for (const char c : std::string_view("{}%#'()[]|-.:,=1 ax\\\xc3")) {
      std::string changed = source;
      if (i < source.size()) changed[i] = c;
      attempt(changed);
    }
  }
  EXPECT_GT(rendered, 100);
}

TEST(JinjaTemplate, TimeIsWhatItIsGiven) {
  const Template time("{{ strftime_now('%Y-%m-%d') }}");
  EXPECT_EQ(time.render({}, {}, 1'700'000'000).bytes(), "2023-11-14");
  EXPECT_EQ(time.render({}).size(), 10u);
}

TEST(JinjaTemplate, LimitsHoldForOutputs) {
  const Template text("{% for i in range(10) %}0123456789{% endfor %}");
  EXPECT_EQ(text.render({}, {.output = 100}).size(), 100u);
  EXPECT_THROW(text.render({}, {.output = 99}), Error);
  EXPECT_THROW(text.render({}, {.steps = 20}), Error);
}

}  // namespace
}  // namespace precis::jinja
