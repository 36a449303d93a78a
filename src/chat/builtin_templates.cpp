#include "chat/builtin_templates.h"

#include <algorithm>

namespace precis {
namespace {

struct Builtin {
  std::string_view name;
  std::string_view source;
};

// <|im_start|>ROLE\nCONTENT<|im_end|>\n. White space in contents stays.
constexpr std::string_view chatml = R"(
{{- bos_of_texts }}
{%- for message in messages %}
  {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
{%- endif %})";

constexpr std::string_view llama_3 = R"(
{{- bos_token }}
{%- for message in messages %}
  {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %})";

// [INST] CONTENT[/INST] ANSWER</s>; what the system says stands before the last of the user's messages.
constexpr std::string_view mistral = R"(
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content + '\n\n' %}
  {%- set messages = messages[1:] %}
{%- else %}
  {%- set system = '' %}
{%- endif %}
{{- bos_token }}
{%- for message in messages %}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('after at most one system message, user and assistant must alternate') }}
  {%- elif message.role == 'user' %}
    {{- '[INST] ' + (system if loop.last else '') + message.content + '[/INST]' }}
  {%- else %}
    {{- ' ' + message.content | trim + eos_token }}
  {%- endif %}
{%- endfor %})";

// There is no system: what it says stands at the begin of the first message. The assistant is called model.
constexpr std::string_view gemma = R"(
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content | trim + '\n\n' %}
  {%- set messages = messages[1:] %}
{%- else %}
  {%- set system = '' %}
{%- endif %}
{{- bos_token }}
{%- for message in messages %}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('after at most one system message, user and assistant must alternate') }}
  {%- endif %}
  {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
  {{- (system if loop.first else '') + message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<start_of_turn>model\n' }}
{%- endif %})";

constexpr std::string_view zephyr = R"(
{%- for message in messages %}
  {{- '<|' + message.role + '|>\n' + message.content | trim + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|assistant|>\n' }}
{%- endif %})";

constexpr std::string_view phi_3 = R"(
{%- for message in messages %}
  {{- '<|' + message.role + '|>\n' + message.content | trim + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|assistant|>\n' }}
{%- endif %})";

constexpr Builtin builtins[] = {{"chatml", chatml}, {"llama-3", llama_3}, {"mistral", mistral},
                                {"gemma", gemma},   {"zephyr", zephyr},   {"phi-3", phi_3}};

}  // namespace

std::optional<std::string_view> builtin_template(std::string_view name) {
  const auto found =
      std::find_if(std::begin(builtins), std::end(builtins), [&](const Builtin& known) { return known.name == name; });
  if (found == std::end(builtins)) return std::nullopt;
  return found->source;
}

std::vector<std::string_view> builtin_template_names() {
  std::vector<std::string_view> names;
  for (const Builtin& known : builtins) names.push_back(known.name);
  return names;
}

}  // namespace precis
