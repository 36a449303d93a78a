#include "precis/engine.h"

#include "engine/engine_thread.h"

namespace precis {

Engine::Engine(const EngineOptions& options) : thread_(std::make_unique<EngineThread>(options)) {}
Engine::~Engine() = default;

Stream Engine::submit(Request request) {
  std::vector<Request> one;
  one.push_back(std::move(request));
  return std::move(thread_->submit(std::move(one)).front());
}
std::vector<Stream> Engine::submit(std::vector<Request> requests) {
  return thread_->submit(std::move(requests));
}
const TextCodec& Engine::text() const {
  return thread_->text();
}
SamplingOptions Engine::default_sampling() const {
  return thread_->default_sampling();
}
std::int64_t Engine::context() const {
  return thread_->context();
}
std::int64_t Engine::model_context() const {
  return thread_->spec().context;
}
std::int64_t Engine::vocabulary() const {
  return thread_->spec().vocabulary;
}
std::int64_t Engine::prompt_vocabulary() const {
  return thread_->prompt_vocabulary();
}
StepCost Engine::prompt_cost(std::int64_t depth, std::int64_t tokens) const {
  return thread_->costs().prompt(depth, tokens, thread_->piece());
}
StepCost Engine::answer_cost(std::int64_t depth, std::int64_t tokens, std::int64_t sequences) const {
  return thread_->costs().answer(depth, tokens, sequences);
}
std::string Engine::device() const {
  return thread_->device().description();
}
MemoryReport Engine::memory() const {
  return thread_->memory();
}
std::optional<DeviceUse> Engine::device_use() const {
  return thread_->device_use();
}
void Engine::clear_prefix_cache() {
  thread_->clear_prefix_cache();
}
SessionInfo Engine::save_session(const std::filesystem::path& file, std::span<const std::int32_t> ids,
                                 std::string_view note) {
  return thread_->save_session(file, ids, note);
}
LoadedSession Engine::load_session(const std::filesystem::path& file) {
  return thread_->load_session(file);
}

}  // namespace precis
