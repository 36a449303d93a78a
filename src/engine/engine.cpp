#include "precis/engine.h"

#include "engine/engine_thread.h"

namespace precis {

Engine::Engine(const EngineOptions& options) : thread_(std::make_unique<EngineThread>(options)) {}
Engine::~Engine() = default;

Stream Engine::submit(Request request) {
  return thread_->submit(std::move(request));
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
std::string Engine::device() const {
  return thread_->device().description();
}
MemoryReport Engine::memory() const {
  return thread_->memory();
}
void Engine::clear_prefix_cache() {
  thread_->clear_prefix_cache();
}

}  // namespace precis
