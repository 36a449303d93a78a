#include "memory_measure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>

#include "outcome.h"
#include "peak_memory.h"
#include "precis/engine.h"

namespace precis {

namespace {

using Json = nlohmann::json;

// What of a report crosses from one process to the other, and nothing that the parent does not show.
Json to_json(const MeasuredMemory& measured) {
  Json kinds = Json::array();
  for (const KvKind& kind : measured.kv.kinds) {
    kinds.push_back({kind.name, kind.layers, kind.entries, kind.held_entries, kind.entry_bytes});
  }
  Json json = {{"device", measured.device},
               {"weights", measured.ledger.weight_bytes},
               {"workspace", measured.ledger.workspace_bytes},
               {"pool", measured.ledger.pool_bytes},
               {"far", measured.ledger.far_bytes},
               {"kv_tokens", measured.kv.tokens},
               {"kv_formula", measured.kv.formula_bytes},
               {"kv_held", measured.kv.held_bytes},
               {"kv_far", measured.kv.far_bytes},
               {"active", measured.active_bytes},
               {"allocated", measured.allocated_bytes},
               {"reserved", measured.reserved_bytes},
               {"process", measured.process_bytes}};
  if (measured.device_use) json["device_use"] = {measured.device_use->total_bytes, measured.device_use->used_bytes};
  return json;
}

MeasuredMemory from_json(const Json& json) {
  MeasuredMemory measured;
  measured.device = json.at("device");
  measured.ledger.weight_bytes = json.at("weights");
  measured.ledger.workspace_bytes = json.at("workspace");
  measured.ledger.pool_bytes = json.at("pool");
  measured.ledger.far_bytes = json.at("far");
  measured.kv.tokens = json.at("kv_tokens");
  measured.kv.formula_bytes = json.at("kv_formula");
  measured.kv.held_bytes = json.at("kv_held");
  measured.kv.far_bytes = json.at("kv_far");
  measured.active_bytes = json.at("active");
  measured.allocated_bytes = json.at("allocated");
  measured.reserved_bytes = json.at("reserved");
  measured.process_bytes = json.at("process");
  if (json.contains("device_use")) measured.device_use = {json["device_use"].at(0), json["device_use"].at(1)};
  return measured;
}

Request random_request(const Engine& engine, std::uint64_t seed, std::int64_t context) {
  std::mt19937_64 random(seed);
  const std::int64_t answer = std::min<std::int64_t>(context - 1, 16);
  Request request;
  for (std::int64_t i = 0; i < context - answer; ++i) {
    request.ids.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(engine.prompt_vocabulary())));
  }
  request.max_tokens = answer;
  request.sampling.temperature = 0;
  request.ignore_end = true;
  return request;
}

MeasuredMemory run_here(const EngineOptions& options, std::int64_t context) {
  Engine engine(options);
  std::vector<Request> requests;
  for (int i = 0; i < options.max_sequences; ++i) {
    requests.push_back(random_request(engine, static_cast<std::uint64_t>(i), context));
  }
  std::vector<Stream> streams = engine.submit(std::move(requests));
  MeasuredMemory measured;
  measured.device = engine.device();
  for (Stream& stream : streams) {
    TokenEvent event = stream.next();
    while (!event.end) event = stream.next();
    if (event.reason == EndReason::failed) throw RunFailure(event.error);
    measured.kv = event.usage.kv;
    measured.active_bytes += event.usage.kv.formula_bytes;
    measured.allocated_bytes += event.usage.kv.held_bytes;
  }
  measured.ledger = engine.memory();
  measured.reserved_bytes = measured.ledger.pool_bytes + measured.ledger.far_bytes;
  measured.device_use = engine.device_use();
  measured.process_bytes = peak_memory();
  return measured;
}

// Exit codes of the process that measures.
constexpr int kMeasured = 0;
constexpr int kRefused = 2;  // with the reason in the pipe

[[noreturn]] void run_in_child(int pipe, const EngineOptions& options, std::int64_t context) {
  std::string text;
  int code = kMeasured;
  try {
    text = to_json(run_here(options, context)).dump(-1, ' ', false, Json::error_handler_t::replace);
  } catch (const std::exception& error) {
    text = error.what();
    code = kRefused;
  }
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(pipe, text.data() + at, text.size() - at);
    if (written <= 0) break;
    at += static_cast<std::size_t>(written);
  }
  ::_exit(code);
}

std::string read_all(int pipe) {
  std::string text;
  std::array<char, 4096> block;
  for (;;) {
    const ssize_t count = ::read(pipe, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(block.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

MeasuredMemory measure_memory(const EngineOptions& options, std::int64_t context) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw RunFailure(fmt::format("--measure: {}", std::strerror(errno)));
  const pid_t child = ::fork();
  if (child < 0) throw RunFailure(fmt::format("--measure: no process can be made: {}", std::strerror(errno)));
  if (child == 0) {
    ::close(pipe[0]);
    run_in_child(pipe[1], options, context);
  }
  ::close(pipe[1]);
  const std::string text = read_all(pipe[0]);
  ::close(pipe[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kMeasured) return from_json(Json::parse(text));
  if (WIFEXITED(status)) throw std::runtime_error(text);
  throw RunFailure(fmt::format("--measure: the process that ran {} tokens was killed by signal {}{}", context,
                               WTERMSIG(status), WTERMSIG(status) == SIGKILL ? " (out of memory?)" : ""));
}

}  // namespace precis
