// Sessions: a snapshot of the prefix cache on its way to a file and back. Files are read and written on the caller's
// thread; what touches pages and the device is done on the engine's, block by block between steps.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/checked.h"
#include "base/units.h"
#include "engine/engine_thread.h"
#include "engine/fingerprint.h"
#include "session/session_shape.h"

namespace precis {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

// Holds pages while blocks go by. Made, used and destroyed on a caller's thread; what it does with pages, it does on
// the engine's.
class EngineThread::SessionKv {
 public:
  explicit SessionKv(EngineThread& engine) : engine_(engine) {}
  ~SessionKv() { release(); }
  SessionKv(const SessionKv&) = delete;
  SessionKv& operator=(const SessionKv&) = delete;

  // What the cache has of head.ids: fills in the head's numbers.
  void share(SessionHead& head) {
    engine_.between_steps([&] { share_here(head); });
  }
  // Pages for what a session has. `make_room`: also where the cache has to drop something for them; else false, and
  // nothing has happened, where it would have to.
  bool take(const SessionHead& head, bool make_room) {
    bool taken = false;
    engine_.between_steps([&] { taken = take_here(head, make_room); });
    return taken;
  }
  void copy_out(std::span<std::byte> block) {
    engine_.between_steps([&] {
      each_part(std::ssize(block), [&](std::byte* device, std::int64_t at, std::int64_t bytes) {
        std::memcpy(block.data() + at, ops().on_host(device, bytes), static_cast<std::size_t>(bytes));
      });
    });
  }
  void copy_in(std::span<const std::byte> block) {
    engine_.between_steps([&] {
      each_part(std::ssize(block), [&](std::byte* device, std::int64_t at, std::int64_t bytes) {
        ops().to_device(device, block.data() + at, bytes);
      });
    });
  }
  // All was copied: the cache has it from now on.
  void keep(const SessionHead& head) {
    engine_.between_steps([&] {
      expect_works();
      const auto end = head.ids.begin() + static_cast<std::ptrdiff_t>(head.tokens);
      engine_.scheduler_->cache().insert({.ids = {head.ids.begin(), end},
                                          .lowest = head.lowest,
                                          .summarised = head.summarised,
                                          .kv = std::move(*kv_)});
      kv_.reset();
    });
  }
  void release() {
    if (kv_) engine_.between_steps([&] { kv_.reset(); });
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  Ops& ops() { return engine_.device_->ops(); }
  void expect_works() const {
    if (!engine_.lost_.empty()) throw Error(engine_.lost_);
  }
  SessionShape shape_of(const SessionHead& head) const {
    return {engine_.spec_, engine_.geometry_, engine_.plan_.kv(), head.tokens, head.lowest, head.summarised};
  }

  void share_here(SessionHead& head) {
    expect_works();
    std::optional<PrefixMatch> match = engine_.scheduler_->cache().find(head.ids, std::ssize(head.ids));
    if (!match) return;
    const ChunkShape& chunk = engine_.spec_.chunk;
    head.tokens = match->tokens;
    head.lowest = match->lowest;
    head.summarised = std::min(match->summarised, chunk.complete(match->tokens));
    kv_.emplace(std::move(match->kv));
    kv_->truncate(head.tokens, head.summarised * chunk.summary);
    const SessionShape shape = shape_of(head);
    bytes_ = shape.bytes();
    parts_ = shape.parts(*kv_, engine_.kv_);
  }

  bool take_here(const SessionHead& head, bool make_room) {
    expect_works();
    Scheduler& scheduler = *engine_.scheduler_;
    const SessionShape shape = shape_of(head);
    const PageCounts pages = shape.pages();
    expect_room(pages);
    if (!pages.within(engine_.pages_->free_pages())) {
      if (!make_room) return false;
      scheduler.make_room(pages);
    }
    kv_.emplace(engine_.geometry_, *engine_.pages_);
    shape.take(*kv_);
    bytes_ = shape.bytes();
    parts_ = shape.parts(*kv_, engine_.kv_);
    return true;
  }

  void expect_room(const PageCounts& pages) const {
    const auto shown = [](std::int64_t bytes) { return shown_bytes(static_cast<double>(bytes)); };
    const PrefixBudget& budget = engine_.scheduler_->cache().budget();
    const PageCounts total = engine_.pages_->total_pages();
    const std::int64_t needed = budget.of(pages);
    if (!pages.within(total)) {
      fail("its pages are {}, the KV pool has {}: expected a larger one (context, kv_memory)", shown(needed),
           shown(budget.of(total)));
    }
    if (needed > budget.bytes) {
      fail("its pages are {}, expected at most prefix_cache_memory, {}", shown(needed), shown(budget.bytes));
    }
    if (!engine_.scheduler_->has_room(pages)) {
      fail("its pages are {}, and running requests do not leave so many of the KV pool's {}", shown(needed),
           shown(budget.of(total)));
    }
  }

  // The next `bytes` of all parts: a place in the device's memory, and the same from the block's begin on.
  template <typename Work>
  void each_part(std::int64_t bytes, Work&& work) {
    expect_works();
    for (std::int64_t at = 0; at < bytes;) {
      const KvPart& part = parts_[part_];
      const std::int64_t piece = std::min(bytes - at, part.bytes - done_);
      work(part.at + done_, at, piece);
      at += piece;
      done_ += piece;
      if (done_ == part.bytes) ++part_, done_ = 0;
    }
  }

  EngineThread& engine_;
  std::optional<SequenceKv> kv_;
  std::vector<KvPart> parts_;
  std::int64_t bytes_ = 0;
  std::size_t part_ = 0;   // the next one to be copied,
  std::int64_t done_ = 0;  // and how much of it was
};

void EngineThread::between_steps(std::function<void()> work) {
  std::packaged_task<void()> visit([this, work = std::move(work)] {
    try {
      work();
    } catch (const DeviceLost& error) {
      if (lost_.empty()) lose(error);
      throw;
    }
    publish_memory();
  });
  std::future<void> done = visit.get_future();
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->visits.push_back(std::move(visit));
    inbox_->changed.notify_one();
  }
  done.get();
}

void EngineThread::receive_visits() {
  for (auto& visit : visits_) visit();
  visits_.clear();
}

const Fingerprint& EngineThread::fingerprint() {
  std::call_once(hashed_weights_, [this] {
    const Fingerprint of_model = files_.fingerprint();
    fingerprint_.insert(fingerprint_.begin(), of_model.begin(), of_model.end());
  });
  return fingerprint_;
}

void EngineThread::expect_belongs(const SessionHead& head) {
  expect_equal(head.fingerprint, fingerprint());
  const std::int64_t complete = spec_.chunk.complete(head.tokens);
  if (head.tokens > context()) fail("tokens: {}, expected at most the context's {}", head.tokens, context());
  if (head.lowest > head.tokens || plan_.kv().lowest_restart(head.lowest) != head.lowest) {
    fail("lowest restart: {}, no place where one of {} tokens can set in", head.lowest, head.tokens);
  }
  if (head.summarised > complete || head.summarised < plan_.kv().summaries_due(head.tokens)) {
    fail("summarised chunks: {} of {}, expected at least {}", head.summarised, complete,
         plan_.kv().summaries_due(head.tokens));
  }
  if (complete - head.summarised > plan_.scheduling().summary_delay) {
    fail("it owes the summaries of {} chunks, expected at most summary_delay, {}", complete - head.summarised,
         plan_.scheduling().summary_delay);
  }
  const auto odd = std::ranges::find_if(head.ids, [&](std::int32_t id) { return id < 0 || id >= spec_.embeddings; });
  if (odd != head.ids.end()) fail("ids: {}, expected ids from 0 to {}", *odd, spec_.embeddings - 1);
  if (head.tokens > 0 && !plan_.scheduling().prefix_cache)
    fail("prefix_cache: off, expected on: there K and V are kept");
}

SessionInfo EngineThread::save_session(const std::filesystem::path& file, std::span<const std::int32_t> ids,
                                       std::string_view note) {
  const Clock::time_point begin = Clock::now();
  SessionHead head{.fingerprint = fingerprint(),
                   .device = device_->description(),
                   .tokens = 0,
                   .lowest = 0,
                   .summarised = 0,
                   .ids = {ids.begin(), ids.end()},
                   .note = std::string(note)};
  SessionKv kv(*this);
  kv.share(head);
  SessionWriter writer(file, head, kv.bytes());
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(session_block, kv.bytes())));
  for (std::int64_t left = kv.bytes(); left > 0; left -= std::ssize(block)) {
    block.resize(static_cast<std::size_t>(std::min(session_block, left)));
    kv.copy_out(block);
    writer.write(block);
  }
  kv.release();
  writer.commit();
  return {head.tokens, kv.bytes(), writer.file_bytes(), seconds_since(begin)};
}

LoadedSession EngineThread::load_session(const std::filesystem::path& file) {
  const Clock::time_point begin = Clock::now();
  SessionReader reader(file);
  SessionHead& head = reader.head();
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(session_block, reader.data_bytes())));
  const auto each_block = [&](auto&& work) {
    for (std::int64_t left = reader.data_bytes(); left > 0;) {
      const std::span<const std::byte> bytes = reader.read(block);
      work(bytes);
      left -= std::ssize(bytes);
    }
  };
  SessionKv kv(*this);
  within(file.string(), [&] {
    expect_belongs(head);
    const SessionShape shape(spec_, geometry_, plan_.kv(), head.tokens, head.lowest, head.summarised);
    const std::int64_t expected = head.tokens > 0 ? shape.bytes() : 0;
    if (reader.data_bytes() != expected) fail("{} bytes of K and V, expected {}", reader.data_bytes(), expected);
  });
  if (head.tokens > 0) {
    // Nothing leaves the cache for a file that turns out to be damaged at its end: that is then read twice.
    if (!within(file.string(), [&] { return kv.take(head, false); })) {
      each_block([](auto) {});
      reader.rewind();
      within(file.string(), [&] { kv.take(head, true); });
    }
    each_block([&](std::span<const std::byte> bytes) { kv.copy_in(bytes); });
    kv.keep(head);
  }
  return {.ids = std::move(head.ids),
          .note = std::move(head.note),
          .tokens = head.tokens,
          .kv_bytes = reader.data_bytes(),
          .device = std::move(head.device),
          .seconds = seconds_since(begin)};
}

}  // namespace precis
