// A conversation as the text that a chat model was trained on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace precis {

// What a chat template is given beside the messages.
struct ChatOptions {
  // "": the model's own. Else the name of a built-in one (chat_template_names()) or the path of a file.
  std::string chat_template;
  // End with the beginning of the assistant's answer.
  bool add_generation_prompt = true;
  // Functions that the model may call: a JSON list. "": none.
  std::string tools;
  // Further variables of the template, by name, as JSON: {"enable_thinking", "false"}. Not the names that templates
  // get from here: messages, tools, documents, add_generation_prompt, bos_token and so on.
  std::vector<std::pair<std::string, std::string>> variables;
};

// A stretch of a rendered conversation. Special tokens count where the template itself wrote the text: a user who
// writes "<|im_end|>" writes text.
struct PromptSegment {
  std::string text;
  bool special = false;
};

struct ChatPrompt {
  std::vector<PromptSegment> segments;
  // It ends behind the tag that opens thinking, so the answer begins inside.
  bool thinking = false;

  std::string text() const {
    std::string all;
    for (const PromptSegment& segment : segments) all += segment.text;
    return all;
  }
};

// Between what a model thinks before it answers.
struct ThinkTags {
  std::string open;   // "<think>"
  std::string close;  // "</think>"
};

// The built-in templates: "chatml", "llama-3"...
std::vector<std::string> chat_template_names();

}  // namespace precis
