#include "engine/engine_thread.h"

#include <algorithm>

#include "backend/factory.h"
#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "device/device_lost.h"
#include "device/host_memory.h"
#include "engine/engine_setup.h"
#include "engine/fingerprint.h"

namespace precis {
namespace {

// Fills StepInputs::draws; `jobs`: of the step's items.
void ask_for_draws(Step& step, std::span<Job* const> jobs) {
  std::vector<DrawOptions>& draws = step.inputs.draws;
  for (const LogitRow& row : step.logits) draws.push_back(jobs[row.item]->draw_options(row.index));
  const auto wants_nothing = [](const DrawOptions& options) { return options.wants == DrawWants::nothing; };
  if (std::ranges::all_of(draws, wants_nothing)) draws.clear();
}

std::vector<std::pair<std::string, std::int64_t>> named_formats(const std::map<WeightFormat, std::int64_t>& bytes) {
  std::vector<std::pair<std::string, std::int64_t>> named;
  for (const auto& [format, count] : bytes) named.emplace_back(name_of(format), count);
  return named;
}

}  // namespace

void Inbox::wake() {
  const std::lock_guard lock(mutex);
  woken = true;
  changed.notify_one();
}

std::unique_ptr<Device> open_device(const EngineOptions& options) {
  return open_backend(options.backend, backend_options(options));
}

EngineThread::EngineThread(const EngineOptions& options, const OpenDevice& open)
    : files_((validate(options), options)),
      default_sampling_(files_.default_sampling()),
      device_((files_.read_spec(), open(options))),  // what is wrong with the model is said at once
      opening_(make_opening_plan(options, files_, traits_of(*device_), device_->memory())),
      plan_(*opening_.plan),
      spec_(plan_.spec()),
      geometry_(plan_.geometry()) {
  std::optional<EsaCalibration> esa;
  if (spec_.esa) esa = files_.open_esa(spec_);
  decoder_.emplace(spec_, weights_, geometry_, *device_, plan_.limits());
  allocate_pool();
  text_ = files_.open_text();
  weights_ = files_.load(spec_, *device_);  // what takes longest comes after what may be refused
  if (esa) add_esa(weights_, *esa, *device_);
  give_back_freed_memory();  // of reading and quantizing
  fingerprint_ = settings_fingerprint(options, spec_, geometry_, plan_.scheduling(), device_->description(), esa);
  costs_.emplace(spec_, geometry_, weight_reads(weights_, spec_));
  scheduler_.emplace(plan_.scheduling(), spec_, plan_.kv(), *pages_);
  job_context_.emplace(
      JobContext{text_ ? &text_->tokenizer() : nullptr, plan_.kv(), spec_.end_ids, opening_.pool.context});
  const PageCounts& pages = opening_.pool.pages;
  memory_ = {.weight_bytes = weights_.bytes,
             .weight_formats = named_formats(weights_.bytes_of_format),
             .workspace_bytes = decoder_->workspace_bytes(),
             .pool_bytes = geometry_.device_bytes(pages),
             .page_bytes = geometry_.page_bytes(),
             .pages = pages.near,
             .far_bytes = far_.bytes(),
             .far_page_bytes = pages.far > 0 ? geometry_.far_page_bytes() : 0,
             .far_pages = pages.far,
             .largest_context = opening_.largest_context};
  log().info("{}: {} layers, weights {}, KV pool {} ({} pages) and {} far ({} pages) for a context of {} tokens, on {}",
             spec_.family, spec_.layers, shown_bytes(static_cast<double>(weights_.bytes)),
             shown_bytes(static_cast<double>(memory_.pool_bytes)), pages.near,
             shown_bytes(static_cast<double>(far_.bytes())), pages.far, opening_.pool.context, device_->description());
  thread_ = std::thread([this] { run(); });
}

void EngineThread::allocate_pool() {
  const PageCounts& pages = opening_.pool.pages;
  pages_.emplace(pages.near, pages.far);
  pool_ = device_->allocate(pages.near * geometry_.page_bytes());
  kv_ = {.near = pool_.as(), .pages = pages};
  if (pages.far == 0) return;
  const PageCounts far{0, pages.far};
  const std::filesystem::path& file = plan_.options().kv_offload.value();
  far_ = within("kv_offload", [&] { return device_->allocate_far(geometry_.far_bytes(far), file); });
  short_keys_ = device_->allocate(geometry_.device_bytes(far));
  kv_.far = far_.as();
  kv_.short_keys = short_keys_.as();
}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->stop = true;
    inbox_->changed.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<Stream> EngineThread::submit(std::vector<Request> requests) {
  for (const Request& request : requests) check(request);
  std::list<std::unique_ptr<Job>> jobs;
  std::vector<Stream> streams;
  for (Request& request : requests) {
    auto queue = std::make_shared<EventQueue>([inbox = inbox_] { inbox->wake(); });
    jobs.push_back(std::make_unique<Job>(*job_context_, std::move(request), SequenceKv(geometry_, *pages_), queue));
    streams.emplace_back(std::move(queue));
  }
  const std::lock_guard lock(inbox_->mutex);
  inbox_->submitted.splice(inbox_->submitted.end(), jobs);
  inbox_->changed.notify_one();
  return streams;
}

void EngineThread::check(const Request& request) const {
  const auto prompt = static_cast<std::int64_t>(request.ids.size());
  const std::int64_t context = job_context_->context;
  const std::int64_t known = prompt_vocabulary();
  if (prompt == 0) fail("prompt: no tokens, expected at least one");
  if (request.answered < 0 || request.answered >= prompt) {
    fail("answered: {} of {} ids, expected from 0 to {}", request.answered, prompt, prompt - 1);
  }
  for (const std::int32_t id : request.ids) {
    if (id < 0 || id >= known) fail("prompt: id {}, expected ids from 0 to {}", id, known - 1);
  }
  if (prompt > context || (prompt == context && request.max_tokens != 0)) {
    fail("prompt: {} tokens{}, the context has {}", prompt, prompt == context ? " leave no room for an answer" : "",
         context);
  }
  if (request.max_tokens > context - prompt) {
    fail("max_tokens: {} after a prompt of {} tokens, the context has {}", request.max_tokens, prompt, context);
  }
  if (request.top_logprobs > spec_.vocabulary) {
    fail("top_logprobs: {}, expected at most the vocabulary's {}", request.top_logprobs, spec_.vocabulary);
  }
  validate(request.sampling, spec_.vocabulary);
}

const TextCodec& EngineThread::text() const {
  if (!text_) fail("{}: {}: only ids can be given", files_.path().string(), files_.why_no_text());
  return *text_;
}

void EngineThread::clear_prefix_cache() {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->clear_cache = true;
  inbox_->changed.notify_one();
}

std::optional<DeviceUse> EngineThread::device_use() {
  std::optional<DeviceUse> use;
  between_steps([&] {
    if (const auto memory = device_->memory()) use = {memory->total, memory->total - memory->free};
  });
  return use;
}

MemoryReport EngineThread::memory() const {
  const std::lock_guard lock(memory_mutex_);
  return memory_;
}

void EngineThread::run() {
  while (receive()) {
    receive_visits();
    drop_cancelled();
    if (lost_.empty()) step();
    if (!lost_.empty()) end_all_failed();
    publish_memory();
  }
  while (!jobs_.empty()) end(*jobs_.front(), EndReason::cancelled, "");
  scheduler_->cache().clear();
  PRECIS_CHECK(pages_->used_pages().all() == 0, "{} pages are held at the end", pages_->used_pages().all());
}

bool EngineThread::receive() {
  std::unique_lock lock(inbox_->mutex);
  const auto has_word = [&] {
    return inbox_->stop || inbox_->woken || inbox_->clear_cache || !inbox_->submitted.empty() ||
           !inbox_->visits.empty();
  };
  if (scheduler_->idle()) inbox_->changed.wait(lock, has_word);
  for (const auto& job : inbox_->submitted) scheduler_->add(job->sequence());
  jobs_.splice(jobs_.end(), inbox_->submitted);
  visits_.splice(visits_.end(), inbox_->visits);
  if (std::exchange(inbox_->clear_cache, false)) scheduler_->cache().clear();
  inbox_->woken = false;
  return !inbox_->stop;
}

void EngineThread::drop_cancelled() {
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    Job& job = **it++;
    if (job.cancelled()) end(job, EndReason::cancelled, "");
  }
}

void EngineThread::step() {
  if (!flight_) {
    const std::vector<StepItem>& items = scheduler_->next();
    if (items.empty()) return tell();
    flight_ = launch(items);
  }
  tell();
  const Flight done = *std::exchange(flight_, std::nullopt);
  flight_ = launch_ahead(done);
  collect(done);
}

EngineThread::Flight EngineThread::launch(const std::vector<StepItem>& items) {
  Flight flight;
  for (const StepItem& item : items) {
    const auto found =
        std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return &job->sequence() == item.sequence; });
    PRECIS_CHECK(found != jobs_.end());
    flight.jobs.push_back(found->get());
    flight.jobs.back()->begin_step();
  }
  try {
    Step step = build_step(items, spec_, geometry_);
    ask_for_draws(step, flight.jobs);
    flight.logits = std::move(step.logits);
    flight.place = decoder_->launch(step.inputs, kv_);
  } catch (...) {
    flight.failure = std::current_exception();
  }
  return flight;
}

std::optional<EngineThread::Flight> EngineThread::launch_ahead(const Flight& step) {
  const auto goes_on = [](const Job* job) { return job == nullptr || job->goes_on_unseen(); };
  const bool can = device_->ops().runs_asynchronously() && !step.failure && std::ranges::all_of(step.jobs, goes_on) &&
                   static_cast<std::int64_t>(step.logits.size()) <= decoder_->max_logit_rows();
  if (!can) return std::nullopt;
  const std::vector<StepItem>& items = scheduler_->run_ahead();
  if (items.empty()) return std::nullopt;
  return launch(items);
}

void EngineThread::collect(const Flight& done) {
  if (!take_results(done)) return;
  if (!flight_) scheduler_->commit();
  std::vector<Job*> ended;
  for (Job* job : done.jobs) {
    if (job == nullptr) continue;
    untold_.push_back(job);
    if (job->finish_step()) ended.push_back(job);
  }
  // Where the next step waits for this one, and nobody's end waits to be seen, its launch comes first.
  const bool launches_first = !flight_ && ended.empty() && device_->ops().runs_asynchronously();
  if (!launches_first) tell();
  for (Job* job : ended) end(*job, job->reason(), "");
}

bool EngineThread::take_results(const Flight& done) {
  try {
    if (done.failure) std::rethrow_exception(done.failure);
    decoder_->collect(done.place, [&](std::size_t row, RowLogits& logits) {
      Job* job = done.jobs[done.logits[row].item];
      if (job != nullptr) job->take_logits(done.logits[row].index, logits);
    });
    return true;
  } catch (const DeviceLost& error) {
    lose(error);
  } catch (const std::exception& error) {
    scheduler_->abandon();
    for (Job* job : done.jobs) {
      if (job != nullptr) end(*job, EndReason::failed, error.what());
    }
  }
  flight_.reset();  // its sequences are among those of the step that has failed
  return false;
}

void EngineThread::lose(const DeviceLost& error) {
  lost_ = fmt::format("the device is lost, and nothing more can be computed until the program is started again: {}",
                      error.what());
  log().error("{}", lost_);
  scheduler_->abandon();
  flight_.reset();
}

void EngineThread::tell() {
  for (Job* job : untold_) job->tell();
  untold_.clear();
}

void EngineThread::end_all_failed() {
  while (!jobs_.empty()) end(*jobs_.front(), EndReason::failed, lost_);
  scheduler_->cache().clear();  // of K and V that nobody can read
}

void EngineThread::withdraw(Job& job) {
  std::erase(untold_, &job);
  if (!flight_) return;
  std::ranges::replace(flight_->jobs, &job, nullptr);
  scheduler_->withdraw(job.sequence());
  const auto is_withdrawn = [](const Job* of) { return of == nullptr; };
  if (std::ranges::all_of(flight_->jobs, is_withdrawn)) flight_.reset();  // nobody waits for it
}

void EngineThread::end(Job& job, EndReason reason, const std::string& error) {
  withdraw(job);
  job.end(reason, error);
  scheduler_->remove(job.sequence());
  std::erase_if(jobs_, [&](const auto& other) { return other.get() == &job; });
}

void EngineThread::publish_memory() {
  const std::lock_guard lock(memory_mutex_);
  memory_.pages_used = pages_->used_pages().near;
  memory_.far_pages_used = pages_->used_pages().far;
  const PrefixCache& cache = scheduler_->cache();
  memory_.cached_prefixes = static_cast<std::int64_t>(cache.snapshots());
  memory_.cached_bytes = cache.bytes();
  memory_.prefix_hits = cache.statistics().hits;
  memory_.prefix_tokens = cache.statistics().tokens;
  memory_.prefix_evictions = cache.statistics().evictions;
  memory_.preemptions = scheduler_->preemptions();
}

}  // namespace precis
