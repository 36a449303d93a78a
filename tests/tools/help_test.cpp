#include "tools/program.h"

namespace precis::test {
namespace {

void expect_help(const std::vector<std::string>& line, const std::vector<std::string>& parts) {
  const Finished help = precis(line);
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.err, "");
  for (const std::string& part : parts) EXPECT_NE(help.out.find(part), std::string::npos) << part;
}

TEST(HelpTest, ProgramNamesItsCommandsAndExitCodes) {
  expect_help({"--help"}, {"run", "chat", "inspect", "memory", "tokenize", "logits", "quantize", "calibrate", "eval",
                           "bench", "Exit codes"});
  expect_help({"-h"}, {"Usage: precis"});
}

TEST(HelpTest, RunNamesEveryFlagInBothSpellings) {
  expect_help({"run", "--help"}, {"Usage: precis run",
                                  "-m,--model",
                                  "-p,--prompt",
                                  "-f,--file",
                                  "-n,",
                                  "--max-tokens",
                                  "--n-predict",
                                  "--ctx-size",
                                  "--max-model-len",
                                  "--temp,",
                                  "--temperature",
                                  "--top-k",
                                  "--top-p",
                                  "--min-p",
                                  "--repeat-penalty",
                                  "--repetition-penalty",
                                  "--presence-penalty",
                                  "--frequency-penalty",
                                  "--logit-bias",
                                  "-s,--seed",
                                  "-t,--threads",
                                  "--stop",
                                  "--reverse-prompt",
                                  "--stop-id",
                                  "--ignore-eos",
                                  "--chat",
                                  "--system",
                                  "--chat-template",
                                  "--json",
                                  "--logprobs",
                                  "--stats",
                                  "--backend",
                                  "--compute",
                                  "--kv-cache-dtype",
                                  "--deterministic",
                                  "--esa",
                                  "--kv-offload [FILE]",
                                  "--weights",
                                  "--piece",
                                  "--batch-size",
                                  "--max-num-batched-tokens",
                                  "--parallel",
                                  "--max-num-seqs",
                                  "--kv-cache-memory",
                                  "--gpu-memory-utilization",
                                  "--page-size",
                                  "--block-size",
                                  "--no-prefix-cache",
                                  "--enable-prefix-caching",
                                  "--no-enable-prefix-caching",
                                  "--special",
                                  "-v,--verbose",
                                  "Examples:",
                                  "Exit codes:"});
}

TEST(HelpTest, OtherCommandsHaveFlagsAndExamples) {
  expect_help({"chat", "--help"},
              {"Usage: precis chat", "--file", "--system", "--session", "--question", "--chat-template", "--temp",
               "--ctx-size", "--kv-cache-memory", "--show-thinking on|off|dim", "--stats", "/set [NAME VALUE]",
               "Ctrl-C", "Examples:", "Exit codes:"});
  expect_help({"inspect", "--help"}, {"Usage: precis inspect", "--model", "--json", "Examples:"});
  expect_help({"memory", "--help"}, {"Usage: precis memory", "-m,--model", "--dummy", "--ctx", "--fit", "--measure",
                                     "--parallel", "--weights", "--kv-cache-dtype", "--esa", "--kv-offload [FILE]",
                                     "--memory-budget", "--csv", "--json", "--plot", "Examples:", "Exit codes:"});
  expect_help({"tokenize", "--help"},
              {"Usage: precis tokenize", "--prompt", "--file", "--decode", "--batch", "--no-special", "Examples:"});
  expect_help({"logits", "--help"}, {"Usage: precis logits", "--ids", "--output", "--piece", "--decode", "--compute",
                                     "--weights", "Examples:"});
  expect_help({"quantize", "--help"}, {"Usage: precis quantize", "--output", "--weights", "--shard-size", "Examples:"});
  expect_help({"calibrate", "--help"}, {"Usage: precis calibrate", "--text", "--tokens", "--dim", "--output",
                                        "--held-out", "--recall-tokens", "--recall-topk", "--json", "Examples:"});
  expect_help({"eval", "--help"}, {"Usage: precis eval", "perplexity", "kl", "needle"});
  expect_help({"eval", "kl", "--help"}, {"Usage: precis eval kl", "--against", "--against-weights",
                                         "--against-kv-cache-dtype", "--window", "--tokens", "--ranges", "Examples:"});
  expect_help({"eval", "perplexity", "--help"},
              {"Usage: precis eval perplexity", "--file", "--window,--ctx", "--stride", "--ranges", "Examples:"});
  expect_help({"eval", "needle", "--help"},
              {"Usage: precis eval needle", "--text", "--lengths", "--depths", "--needles", "--files", "--questions",
               "--all", "--apart", "--needle-file", "--seed", "--json", "--svg", "--kv-cache-dtype", "--weights",
               "Examples:", "A reply is right if", "Exit codes:"});
  expect_help({"bench", "--help"}, {"Usage: precis bench",
                                    "-m,--model",
                                    "--dummy",
                                    "--seed",
                                    "-p,--prompt",
                                    "-n,--predict",
                                    "-d,--depth",
                                    "-np",
                                    "--frontier",
                                    "bench -m models/demo-ksa --frontier 1k..32k --plot",
                                    "--plot",
                                    "-r,--repetitions",
                                    "--threads",
                                    "--backend",
                                    "--compute",
                                    "--piece",
                                    "--ctx-size",
                                    "--kv-offload [FILE]",
                                    "--csv",
                                    "--json",
                                    "Examples:",
                                    "How bytes are counted",
                                    "Exit codes:"});
}

TEST(HelpTest, VersionIsOneLine) {
  const Finished version = precis({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.rfind("precis ", 0), 0u);
  EXPECT_EQ(std::count(version.out.begin(), version.out.end(), '\n'), 1);
}

}  // namespace
}  // namespace precis::test
