// Flags and input files that are wrong: each is refused in one line that names the flag, before any answer.
#include "tools/program.h"

namespace precis::test {
namespace {

struct BadFlags {
  std::string name;
  std::vector<std::string> line;
  std::string part;  // of the message
};

std::ostream& operator<<(std::ostream& out, const BadFlags& bad) {
  return out << bad.name;
}

// `precis run` on the demo model with one more thing, which is wrong.
BadFlags run_with(const std::string& name, const std::vector<std::string>& more, const std::string& part) {
  return {name, std::vector<std::string>{"run", "-m", demo_ksa(), "-p", "a", "-n", "1"} + more, part};
}

BadFlags tokenize_with(const std::string& name, const std::vector<std::string>& more, const std::string& part) {
  return {name, std::vector<std::string>{"tokenize", "-m", demo_ksa()} + more, part};
}

BadFlags bench_with(const std::string& name, const std::vector<std::string>& more, const std::string& part) {
  return {name, std::vector<std::string>{"bench", "-m", demo_ksa(), "-r", "1"} + more, part};
}

BadFlags memory_with(const std::string& name, const std::vector<std::string>& more, const std::string& part) {
  return {name, std::vector<std::string>{"memory", "-m", demo_ksa()} + more, part};
}

std::vector<BadFlags> bad_lines() {
  return {
      {"NoCommand", {}, "command"},
      {"UnknownCommand", {"walk"}, "unknown command walk"},
      {"UnknownProgramFlag", {"--fast"}, "unknown flag --fast"},
      {"NoModel", {"run", "-p", "a"}, "--model"},
      {"EmptyModel", {"run", "-m", "", "-p", "a"}, "--model"},
      {"ModelMissing", {"run", "-m", "/nowhere/model", "-p", "a"}, "/nowhere/model"},
      {"ModelIsAFile", {"run", "-m", demo_ksa() + "/config.json", "-p", "a"}, "config.json"},
      {"ModelWithoutValue", {"run", "-m"}, "--model"},
      {"InspectMissing", {"inspect", "-m", "/nowhere/model"}, "/nowhere/model"},
      {"InspectUnknownFlag", {"inspect", "-m", demo_ksa(), "--deep"}, "--deep"},
      run_with("UnknownFlag", {"--gpu-layers", "3"}, "unknown flag --gpu-layers"),
      run_with("StrayWord", {"word"}, "unexpected word word"),
      run_with("EsaWord", {"--esa", "maybe"}, "esa: 'maybe'"),
      run_with("EsaTopZero", {"--esa-topk", "0"}, "--esa-topk: '0'"),
      run_with("EsaProximityFar", {"--esa-proximity", "65"}, "--esa-proximity: '65'"),
      run_with("EsaDimBeyondTheFile", {"--esa", "on", "--esa-dim", "65"}, "esa.safetensors"),
      run_with("EsaPositionsUnknown", {"--esa", "on", "--esa-positions", "near"}, "esa_positions: 'near'"),
      run_with("EsaLayersUnknown", {"--esa", "on", "--esa-layers", "some"}, "esa_layers: 'some'"),
      run_with("OffloadWithoutEsa", {"--kv-offload", "/tmp/never.kv"}, "kv_offload: esa is off, expected on"),
      run_with("OffloadWithoutFile", {"--esa", "on", "--backend", "cpu", "--kv-offload"}, "kv_offload: no FILE"),
      run_with("OffloadIntoNowhere", {"--esa", "on", "--backend", "cpu", "--kv-offload", "/nowhere/kv"},
               "/nowhere/kv: cannot be created"),
      run_with("OffloadOverAFile", {"--esa", "on", "--backend", "cpu", "--kv-offload", demo_ksa() + "/config.json"},
               "config.json: 1.02 kB are in it"),
      run_with("OffloadOfAShortContext",
               {"--esa", "on", "--backend", "cpu", "--kv-offload", "/tmp/never.kv", "-c", "6k"},
               "esa_initial + esa_local + esa_top = 6272"),
      run_with("MaxTokensWord", {"-n", "many"}, "--max-tokens: 'many'"),
      run_with("MaxTokensFraction", {"--max-tokens", "1.5"}, "--max-tokens: '1.5'"),
      run_with("MaxTokensNegative", {"-n", "-3"}, "--max-tokens: '-3'"),
      run_with("MaxTokensHuge", {"-n", "99999999999999999999"}, "--max-tokens"),
      run_with("MaxTokensBeyondContext", {"-n", "40k"}, "32768"),
      run_with("ContextWord", {"-c", "32q"}, "--ctx-size: '32q'"),
      run_with("ContextNegative", {"--max-model-len", "-1"}, "--ctx-size: '-1'"),
      run_with("ContextEmpty", {"-c", ""}, "--ctx-size: ''"),
      run_with("ContextTooShort", {"-c", "1", "-n", "1"}, "context"),
      run_with("TemperatureWord", {"--temp", "hot"}, "--temp: 'hot'"),
      run_with("TemperatureNegative", {"--temperature", "-1"}, "--temp: '-1'"),
      run_with("TemperatureInfinite", {"--temp", "inf"}, "--temp: 'inf'"),
      run_with("TemperatureNotANumber", {"--temp", "nan"}, "--temp: 'nan'"),
      run_with("TopKNegative", {"--top-k", "-2"}, "--top-k: '-2'"),
      run_with("TopPAboveOne", {"--top-p", "1.5"}, "--top-p: '1.5'"),
      run_with("MinPNegative", {"--min-p", "-0.1"}, "--min-p: '-0.1'"),
      run_with("RepetitionZero", {"--repeat-penalty", "0"}, "--repeat-penalty: '0'"),
      run_with("PresenceWord", {"--presence-penalty", "x"}, "--presence-penalty: 'x'"),
      run_with("FrequencyTrailing", {"--frequency-penalty", "1x"}, "--frequency-penalty: '1x'"),
      run_with("BiasWithoutValue", {"--logit-bias", "12"}, "--logit-bias: '12'"),
      run_with("BiasWithoutId", {"--logit-bias", "=3"}, "--logit-bias: '=3'"),
      run_with("BiasWord", {"--logit-bias", "12=up"}, "--logit-bias: 'up'"),
      run_with("BiasOutsideVocabulary", {"--logit-bias", "9000=1"}, "9000"),
      run_with("SeedWord", {"--seed", "lucky"}, "--seed: 'lucky'"),
      run_with("SeedNegative", {"-s", "-5"}, "--seed: '-5'"),
      run_with("ThreadsNegative", {"-t", "-1"}, "--threads: '-1'"),
      run_with("StopIdWord", {"--stop-id", "x"}, "--stop-id: 'x'"),
      run_with("LogprobsBeyondVocabulary", {"--logprobs", "100000"}, "--logprobs: '100000'"),
      run_with("UnknownBackend", {"--backend", "abacus"}, "abacus"),
      run_with("UnknownCompute", {"--compute", "fp4"}, "fp4"),
      run_with("UnknownKvType", {"--kv-cache-dtype", "fp4"}, "kv_cache_dtype: 'fp4', expected auto, fp8, bf16 or f32"),
      run_with("PieceZero", {"--piece", "0"}, "--piece: '0'"),
      run_with("ParallelZero", {"-np", "0"}, "--parallel: '0'"),
      run_with("KvMemoryWord", {"--kv-cache-memory", "lots"}, "--kv-cache-memory: 'lots'"),
      run_with("KvMemoryNegative", {"--kv-cache-memory", "-1G"}, "--kv-cache-memory: '-1G'"),
      run_with("KvMemoryTooSmall", {"--kv-cache-memory", "4k", "-c", "1k"}, "4.10 kB"),
      run_with("UtilizationAboveOne", {"--gpu-memory-utilization", "1.5"}, "--gpu-memory-utilization: '1.5'"),
      run_with("UtilizationOfACpu", {"--gpu-memory-utilization", "0.5", "--backend", "cpu"},
               "has no memory of its own, expected the cuda backend"),
      run_with("UtilizationAndKvMemory", {"--gpu-memory-utilization", "0.5", "--kv-cache-memory", "1G"},
               "not with kv_memory"),
      run_with("PageSizeZero", {"--page-size", "0"}, "--page-size: '0'"),
      run_with("FlagWithValue", {"--chat=maybe"}, "chat"),
      run_with("SystemWithoutChat", {"--system", "be kind"}, "--system"),
      run_with("TemplateWithoutChat", {"--chat-template", "chatml"}, "--chat-template"),
      run_with("UnknownTemplate", {"--chat", "--chat-template", "llama9"}, "llama9"),
      run_with("TemplateFileMissing", {"--chat", "--chat-template", "/nowhere/t.jinja"}, "/nowhere/t.jinja"),
      run_with("FileMissing", {"-f", "/nowhere/book.txt"}, "/nowhere/book.txt"),
      run_with("FileIsAFolder", {"-f", demo_ksa()}, "folder"),
      tokenize_with("TokenizeTwoInputs", {"-p", "a", "-f", "-"}, "only one"),
      tokenize_with("TokenizeFileMissing", {"-f", "/nowhere/book.txt"}, "/nowhere/book.txt"),
      tokenize_with("DecodeWord", {"--decode", "1,x"}, "--decode: 'x'"),
      tokenize_with("DecodeNegative", {"--decode", "-4"}, "--decode: '-4'"),
      tokenize_with("DecodeOutsideVocabulary", {"--decode", "99999"}, "99999"),
      tokenize_with("DecodeOpenBracket", {"--decode", "[1, 2"}, "--decode"),
      tokenize_with("BatchMissing", {"--batch", "/nowhere/texts.json"}, "/nowhere/texts.json"),
      {"BenchWithoutModel", {"bench"}, "--model or --dummy is expected"},
      {"BenchDummyMissing", {"bench", "--dummy", "/nowhere/config.json"}, "/nowhere/config.json"},
      {"BenchDummyIsNoModel", {"bench", "--dummy", std::string(PRECIS_MODELS) + "/.."}, "config.json"},
      {"BenchDummyIsNoJson", {"bench", "--dummy", demo_ksa() + "/README.md"}, "README.md: not valid JSON"},
      bench_with("BenchModelAndDummy", {"--dummy", demo_ksa()}, "--dummy: not with --model"),
      bench_with("BenchNothing", {"-p", "0", "-n", "0"}, "--prompt and --predict are both 0"),
      bench_with("BenchPromptHole", {"-p", "1,,2"}, "--prompt: '1,,2'"),
      bench_with("BenchPromptEmpty", {"-p", ""}, "--prompt: ''"),
      bench_with("BenchPredictTrailingComma", {"-n", "5,"}, "--predict: '5,'"),
      bench_with("BenchDepthNegative", {"-d", "0,-1"}, "--depth: '-1'"),
      bench_with("BenchDepthExponent", {"-d", "1e30"}, "--depth: '1e30'"),
      bench_with("BenchDepthHuge", {"-d", "99999999999999999999"}, "--depth: '99999999999999999999'"),
      bench_with("BenchDepthBeyondModel", {"-d", "32500"},
                 "pp512 after 32500 tokens comes to 33012, the model's context has 32768"),
      bench_with("BenchAnswerBeyondModel", {"-p", "0", "-n", "1", "-d", "32k"}, "comes to 32769"),
      bench_with("BenchBeyondContextAskedFor", {"-c", "100", "-p", "101"}, "--ctx-size allows 100"),
      bench_with("BenchParallelZero", {"-np", "0"}, "--parallel: '0'"),
      bench_with("BenchParallelHuge", {"-np", "1,100000"}, "--parallel: '100000'"),
      bench_with("BenchRepetitionsZero", {"-r", "0"}, "--repetitions: '0'"),
      bench_with("BenchTwoForms", {"--csv", "--json"}, "--csv: not with --json"),
      bench_with("FrontierFromZero", {"--frontier", "0..1k"}, "--frontier: '0' given, a whole number from 1"),
      bench_with("FrontierDownwards", {"--frontier", "8k..1k"}, "--frontier: '8k..1k' given, contexts that ascend"),
      bench_with("FrontierListDownwards", {"--frontier", "4k,1k"}, "--frontier: '4k,1k' given, contexts that ascend"),
      bench_with("FrontierTwice", {"--frontier", "1k..4k,4k"}, "--frontier: '1k..4k,4k' given, contexts that ascend"),
      bench_with("FrontierWithoutEnd", {"--frontier", "1k.."}, "--frontier: '1k..' given, contexts that ascend"),
      bench_with("FrontierOfDots", {"--frontier", ".."}, "--frontier: '..' given, contexts that ascend"),
      bench_with("FrontierEmpty", {"--frontier", ""}, "--frontier: '' given, contexts that ascend"),
      bench_with("FrontierHole", {"--frontier", "1k,,4k"}, "--frontier: '1k,,4k' given, contexts that ascend"),
      bench_with("FrontierThreeDots", {"--frontier", "1k...4k"}, "--frontier: '.4k' given, a whole number from 1"),
      bench_with("FrontierExponent", {"--frontier", "1k..1e30"}, "--frontier: '1e30' given, a whole number from 1"),
      bench_with("FrontierHuge", {"--frontier", "1..9223372036854775807"}, "--frontier: '9223372036854775807' given"),
      bench_with("FrontierBeyondModel", {"--frontier", "1k..64k"},
                 "--frontier: 65536 tokens, the model's context has 32768"),
      bench_with("FrontierBeyondContextAskedFor", {"--frontier", "1k..4k", "-c", "2k"}, "--ctx-size allows 2048"),
      bench_with("FrontierWithPrompt", {"--frontier", "1k", "-p", "16"}, "--prompt: not with --frontier"),
      bench_with("FrontierWithDepth", {"--frontier", "1k", "-d", "16"}, "--depth: not with --frontier"),
      bench_with("FrontierWithParallel", {"--frontier", "1k", "-np", "2"}, "--parallel: not with --frontier"),
      bench_with("FrontierWithAnswers", {"--frontier", "1k", "-n", "16,32"},
                 "--predict: '16,32' given, with --frontier"),
      bench_with("FrontierWithoutAnswer", {"--frontier", "1k", "-n", "0"}, "--predict: '0' given, with --frontier"),
      bench_with("FrontierCutsPieces", {"--frontier", "1000,2k", "--esa", "on", "--deterministic"},
                 "--frontier: 1000 given, with --deterministic and --esa multiples of --piece (512)"),
      bench_with("PlotWithoutFrontier", {"--plot", "plot.svg"}, "--plot: only with --frontier"),
      bench_with("PlotNowhere", {"--frontier", "1k", "--plot", "/nowhere/plot.svg"}, "--plot: /nowhere/plot.svg"),
      bench_with("PlotIsAFolder", {"--frontier", "1k", "--plot", "/tmp"}, "--plot: /tmp: is a folder"),
      bench_with("BenchUnknownBackend", {"--backend", "abacus"}, "abacus"),
      {"MemoryWithoutModel", {"memory"}, "--model or --dummy is expected"},
      {"MemoryModelMissing", {"memory", "-m", "/nowhere"}, "/nowhere"},
      {"MemoryDummyMissing", {"memory", "--dummy", "/nowhere/config.json"}, "/nowhere/config.json"},
      {"MemoryDummyIsNoJson", {"memory", "--dummy", demo_ksa() + "/README.md"}, "README.md: not valid JSON"},
      memory_with("MemorySecondModelMissing", {"-m", "/nowhere"}, "/nowhere"),
      memory_with("MemoryContextZero", {"--ctx", "0"}, "--ctx: '0'"),
      memory_with("MemoryContextNegative", {"--ctx", "-1"}, "--ctx: '-1'"),
      memory_with("MemoryContextExponent", {"--ctx", "1e30"}, "--ctx: '1e30'"),
      memory_with("MemoryContextUnit", {"--ctx", "12q"}, "--ctx: '12q'"),
      memory_with("MemoryContextEmpty", {"--ctx", ""}, "--ctx: ''"),
      memory_with("MemoryContextHole", {"--ctx", "1k,,4k"}, "--ctx: '1k,,4k'"),
      memory_with("MemoryContextHuge", {"--ctx", "4k,1T"}, "--ctx: '1T'"),
      memory_with("MemoryFitZero", {"--fit", "0"}, "--fit: no context of"),
      memory_with("MemoryFitNegative", {"--fit", "-1"}, "--fit: '-1'"),
      memory_with("MemoryFitExponent", {"--fit", "1e30"}, "--fit: '1e30'"),
      memory_with("MemoryFitUnit", {"--fit", "12q"}, "--fit: '12q'"),
      memory_with("MemoryFitEmpty", {"--fit", ""}, "--fit: ''"),
      memory_with("MemoryFitTooSmall", {"--fit", "20M"}, "--fit: no context of"),
      memory_with("MemoryParallelZero", {"-np", "0"}, "--parallel: '0'"),
      memory_with("MemoryWeightsUnknown", {"--weights", "q9"}, "weights: 'q9'"),
      memory_with("MemoryKvTypeUnknown", {"--kv-cache-dtype", "fp4"}, "kv_cache_dtype: 'fp4'"),
      memory_with("MemoryBackendUnknown", {"--backend", "abacus"}, "abacus"),
      memory_with("MemoryOffloadWithoutEsa", {"--kv-offload", "x"}, "kv_offload: esa is off"),
      memory_with("MemoryTwoForms", {"--csv", "--json"}, "--csv: not with --json"),
      memory_with("MemoryPlotNowhere", {"--plot", "/nowhere/x.svg"}, "--plot: /nowhere/x.svg"),
      memory_with("MemoryBudgetUnit", {"--memory-budget", "12q"}, "--memory-budget: '12q'"),
      {"LogitsWithoutIds", {"logits", "-m", demo_ksa(), "-o", "/tmp/never.safetensors"}, "--ids"},
      {"LogitsWithoutOutput", {"logits", "-m", demo_ksa(), "--ids", "-"}, "--output"},
      {"LogitsIntoNowhere", {"logits", "-m", demo_ksa(), "--ids", "-", "-o", "/nowhere/x.safetensors"}, "/nowhere"},
  };
}

class BadFlagsTest : public testing::TestWithParam<BadFlags> {};

TEST_P(BadFlagsTest, IsRefusedInOneLine) {
  expect_refused(precis(GetParam().line), GetParam().part);
}

std::string name_of(const testing::TestParamInfo<BadFlags>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Lines, BadFlagsTest, testing::ValuesIn(bad_lines()), name_of);

TEST(BadInputTest, PromptLongerThanTheContextIsNeverCut) {
  const std::string text(3000, 'x');
  expect_refused(precis({"run", "-m", demo_ksa(), "-c", "64", "-f", "-"}, text), "64");
}

TEST(BadInputTest, JsonListsOfTheWrongShape) {
  const TemporaryFolder folder;
  const std::vector<std::string> logits = {"logits", "-m", demo_ksa(), "-o", folder.path() / "x.safetensors", "--ids"};
  expect_refused(precis(logits + words("-"), "[[1, 2"), "--ids: standard input");
  expect_refused(precis(logits + words("-"), ""), "--ids: standard input");
  expect_refused(precis(logits + words("-"), "{}"), "a list of lists of ids expected, object found");
  expect_refused(precis(logits + words("-"), "[1, 2]"), "[0]: number found");
  expect_refused(precis(logits + words("-"), "[[1], [2, \"3\"]]"), "[1][1]");
  expect_refused(precis(logits + words("-"), "[[1.5]]"), "[0][0]");
  expect_refused(precis(logits + words("-"), "[[-1]]"), "[0][0]");
  expect_refused(precis(logits + words("-"), "[[4294967297]]"), "[0][0]");
  expect_refused(precis(logits + words("-"), "[]"), "no list");
  expect_refused(precis(logits + words("-"), "[[1], []]"), "[1]");
  expect_refused(precis(logits + words("-"), "[[8192]]"), "8192");  // the summary token is nobody's to write
  expect_refused(precis(logits + words("-"), std::string(100'000, '[')), "--ids");
  const std::vector<std::string> batch = {"tokenize", "-m", demo_ksa(), "--batch", "-"};
  expect_refused(precis(batch, "[\"a\", 1]"), "[1]: number found");
  expect_refused(precis(batch, "\"a\""), "a list of texts expected");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "x.safetensors"));
}

}  // namespace
}  // namespace precis::test
