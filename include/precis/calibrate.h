// Fitting ESA's projections to a model, and measuring how well they choose. docs/esa.md describes method and file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace precis {

struct NamedText {
  std::string name;  // for messages: a file's
  std::string text;
};

struct CalibrateOptions {
  // Folder of a checkpoint. Required.
  std::filesystem::path model;

  // File to be written: it appears whole or not at all, over what is there. Empty: esa.safetensors in the model's
  // folder.
  std::filesystem::path output;

  // What the projections are fitted on, one behind the other. Required.
  std::vector<NamedText> texts;
  // Tokens of them that are used. Held in memory: 4 bytes * hidden a token. At least 1.
  std::int64_t tokens = 50000;

  // Length of the short vectors, at least 1. KV heads * head size or more: nothing is left out, and identities are
  // written.
  std::int64_t dim = 128;

  // What recall is measured on: its beginning. None: the end of `texts`, of which nothing is fitted on then.
  std::optional<NamedText> held_out;
  // Tokens that are chosen from. 0: recall is not measured.
  std::int64_t recall_tokens = 16384;
  // How many are chosen, at least 1.
  std::int64_t recall_top = 128;

  // 0: one a physical core that this process may use.
  int threads = 0;

  // Called after each window of text in each layer, with the tokens computed and those to be computed, layers times
  // text. False: stop, and write nothing.
  std::function<bool(std::int64_t done, std::int64_t all)> progress;
};

struct LayerRecall {
  std::string keys;              // what queries choose from: "text" or "summaries"
  std::int64_t candidates = 0;   // of the last query
  std::optional<double> recall;  // none where no query had more candidates than are chosen
};

struct CalibrateReport {
  bool stopped = false;  // by `progress`
  std::filesystem::path file;
  std::int64_t dim = 0;      // as written
  std::int64_t length = 0;   // KV heads * head size
  std::int64_t tokens = 0;   // fitted on
  std::int64_t bytes = 0;    // of the projections
  std::int64_t queries = 0;  // that recall was measured with
  std::vector<LayerRecall> layers;
  std::optional<double> mean_recall;
  std::optional<double> least_recall;
};

// Computes on the CPU. Throws std::runtime_error with one line when the model is not one that Precis can run, a text is
// too short or the file cannot be written.
CalibrateReport calibrate(const CalibrateOptions& options);

}  // namespace precis
