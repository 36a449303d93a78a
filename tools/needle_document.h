// A document with facts in it and what is asked about it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "needle_text.h"
#include "precis/text_codec.h"

namespace precis {

// An answer that is wanted, and how deep in the document the fact lies: percent.
struct WantedAnswer {
  std::string text;
  double asked_depth = 0;
  double depth = 0;
};

struct NeedleQuestion {
  std::string text;
  std::vector<WantedAnswer> answers;  // all must be in the reply

  std::vector<std::string> texts() const;
};

struct NeedleDocument {
  std::int64_t length = 0;  // the row of the table that it belongs to
  std::int64_t tokens = 0;  // of the whole conversation at most, with room for the replies
  std::string file;         // that it was read from; empty: generated
  std::string text;
  std::vector<PlantedFact> facts;  // in the order of their places; empty: read from a file
  std::vector<NeedleQuestion> questions;
};

// What the conversation about `text` takes at most: the document with the longest question, the other questions, and
// `reply` tokens for each reply. `apart`: each question has a conversation of its own.
struct ChatForm {
  std::string chat_template;  // as TextCodec::encode_chat takes it
  std::int64_t reply = 64;    // tokens, at most
  bool apart = false;

  std::int64_t tokens(const TextCodec& codec, const std::string& text,
                      const std::vector<NeedleQuestion>& questions) const;
};
// The first turn: the document, a newline, the question.
std::string first_turn(const std::string& text, const std::string& question);

struct NeedlePlan {
  std::vector<std::int64_t> lengths;  // tokens
  std::vector<std::int64_t> depths;   // percent
  std::int64_t needles = 0;           // facts a document; 0: as many as are asked for
  std::int64_t files = 1;             // documents a length and depth
  std::int64_t questions = 1;         // depths that one document is asked about
  bool all = false;                   // one question asks for the facts at all depths
  std::uint64_t seed = 0;

  // Throws std::runtime_error that names the flag when they do not go together.
  void check() const;
};

// One document of a plan.
struct NeedlePlace {
  std::int64_t length = 0;
  std::int64_t file = 0;             // counts those of a length and depth
  std::vector<std::int64_t> depths;  // that it is asked about
};
// All of a plan, the shortest first.
std::vector<NeedlePlace> places_of(const NeedlePlan& plan);

// A function of plan, place, texts and tokenizer. Throws std::runtime_error that names the flag when the length cannot
// be had.
NeedleDocument make_document(const NeedlePlan& plan, const NeedlePlace& place, const NeedleText& text,
                             const TextCodec& codec, const ChatForm& form);

// Those of a needles.json: a list of {"file", "question", "answers": [...], "depth": 0 to 1}; files are beside it.
// The length of each is its tokens, rounded to a power of two. Throws when the list, or a text, is wrong.
std::vector<NeedleDocument> read_documents(const std::string& path, const TextCodec& codec, const ChatForm& form);

}  // namespace precis
