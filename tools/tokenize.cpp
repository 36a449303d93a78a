// precis tokenize: text to ids and back. A folder with only tokenizer files is enough.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "commands.h"
#include "engine_flags.h"
#include "input.h"
#include "numbers.h"
#include "outcome.h"
#include "precis/text_codec.h"
#include "terminal.h"

namespace precis {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(Examples:
  precis tokenize -m models/demo-ksa -p "Hello, world"        (an id and its piece a line)
  precis tokenize -m models/demo-ksa -f book.txt --json
  precis tokenize -m models/demo-ksa --decode 1,415,301
  echo '["one", "two"]' | precis tokenize -m models/demo-ksa --batch - --no-special

Exit codes: 0 done, 2 a flag, file or tokenizer is wrong.)";

struct TokenizeFlags {
  std::filesystem::path model;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::optional<std::string> decode;
  std::optional<std::string> batch;
  bool no_special = false;
  bool json = false;
};

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string encode_batch(const TokenizeFlags& flags, const TextCodec& codec) {
  Json lists = Json::array();
  for (const std::string& text : read_text_list("--batch", *flags.batch)) {
    lists.push_back(codec.encode(text, !flags.no_special));
  }
  return to_line(lists);
}

std::string decode_ids(const TokenizeFlags& flags, const TextCodec& codec) {
  const std::string list = *flags.decode == "-" ? read_input("--decode", "-") : *flags.decode;
  const std::vector<std::int32_t> ids = parse_ids("--decode", list);
  for (const std::int32_t id : ids) {
    if (id >= codec.vocabulary()) {
      throw std::runtime_error(
          fmt::format("--decode: id {} given, ids from 0 to {} expected", id, codec.vocabulary() - 1));
    }
  }
  const std::string text = codec.decode(ids, !flags.no_special);
  return flags.json ? to_line({{"text", text}}) : text;
}

std::string encode_text(const TokenizeFlags& flags, const TextCodec& codec) {
  std::string text;
  if (flags.prompt) {
    text = *flags.prompt;
  } else {
    if (!flags.file && input_is_terminal()) {
      throw std::runtime_error("a text is expected: -p TEXT, -f FILE, --batch FILE, --decode IDS, or standard input");
    }
    text = read_input("--file", flags.file.value_or("-"));
  }
  const std::vector<std::int32_t> ids = codec.encode(text, !flags.no_special);
  if (!flags.json) {
    std::string lines;
    for (const std::int32_t id : ids) {
      lines += fmt::format("{:>7}  {}\n", id, shown_text(codec.piece(id), std::string::npos));
    }
    return lines;
  }
  Json pieces = Json::array();
  for (const std::int32_t id : ids) pieces.push_back(codec.piece(id));
  return to_line({{"count", ids.size()}, {"ids", ids}, {"pieces", std::move(pieces)}});
}

int tokenize(const TokenizeFlags& flags) {
  const int given =
      flags.prompt.has_value() + flags.file.has_value() + flags.decode.has_value() + flags.batch.has_value();
  if (given > 1) throw std::runtime_error("only one of -p, -f, --decode and --batch can be given");
  const TextCodec codec(flags.model);
  Output output;
  if (flags.batch) {
    output.write(encode_batch(flags, codec));
  } else if (flags.decode) {
    output.write(decode_ids(flags, codec));
    // Bytes as they are for a program, a whole line for a person.
    if (output_is_terminal() && output.inside_line()) output.write("\n");
  } else {
    output.write(encode_text(flags, codec));
  }
  return done;
}

}  // namespace

Command add_tokenize(CLI::App& program) {
  CLI::App* app = add_command(program, "tokenize", "text to ids, and ids to text", kExamples);
  const auto target = std::make_shared<TokenizeFlags>();
  Flags flags(*app);
  flags.heading("Flags");
  add_model_flag(flags, target->model);
  flags.text("-p,--prompt", "TEXT", target->prompt, "text to encode");
  flags.text("-f,--file", "FILE", target->file, "text file to encode, or - for standard input");
  flags.text("--decode", "IDS", target->decode, "ids to turn into text: 1,2,3, or - for a list on standard input");
  flags.text("--batch", "FILE", target->batch, "JSON list of texts, or -; answers a JSON list of lists of ids");
  flags.flag("--no-special", target->no_special,
             "add no bos and take special tokens in the text as text; with --decode: leave them out");
  flags.flag("--json", target->json, "ids and pieces as a JSON object");
  return {app, [target] { return tokenize(*target); }};
}

}  // namespace precis
