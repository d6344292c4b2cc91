#include "engine/conversation_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "engine/conversation_file.h"
#include "telemetry/log.h"

#define XXH_INLINE_ALL
#include "hash/xxhash/xxhash.h"

namespace switchyard::engine {
namespace {

std::string digest(const std::string& text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::size_t common_prefix(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

/// A state of which less than this part is of use is not worth its place, as llama.cpp has it.
bool is_mostly_of_use(std::size_t common, std::size_t all) { return common * 4 >= all; }

/// The time of the last use, for the order after a restart.
void touch(const std::string& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

}  // namespace

/// What an engine has of the store. Constant.
class ConversationStore::Keeper final : public SlotStateKeeper {
 public:
  Keeper(ConversationStore& store, std::string of_version, std::string of_shape, std::uint64_t of_generation)
      : version(std::move(of_version)),
        shape(std::move(of_shape)),
        generation(of_generation),
        store_(store) {}

  std::shared_ptr<const SlotState> find(const std::string& owner, const std::vector<std::int32_t>& tokens,
                                        std::size_t longer_than) override {
    return store_.find(*this, owner, tokens, longer_than);
  }
  bool make_room(std::size_t bytes) override { return store_.make_room(bytes); }
  void put(SlotState state) override { store_.put(*this, std::move(state)); }
  void restored(const std::shared_ptr<const SlotState>& state, bool taken) override {
    store_.restored(*this, *state, taken);
  }

  const std::string version, shape;
  const std::uint64_t generation;

 private:
  ConversationStore& store_;
};

ConversationStore::ConversationStore(Options options) : options_(std::move(options)) {
  if (has_disk()) read_folder();
  writer_ = std::thread([this] { write_loop(); });
}

ConversationStore::~ConversationStore() {
  {
    const MutexLock lock(mutex_);
    ending_ = true;
    end_ = std::chrono::steady_clock::now() + options_.finish_within;
    work_.notify_all();
  }
  writer_.join();
}

std::unique_ptr<SlotStateKeeper> ConversationStore::open(const std::string& version,
                                                         const std::string& shape) {
  const std::string key = digest(version);
  const std::string shape_key = digest(shape);
  const MutexLock lock(mutex_);
  Opened& opened = opened_[key];
  if (opened.shape != shape_key) opened = {.generation = next_id_++, .shape = shape_key};
  remove_if([&](const Entry& entry) { return entry.version == key && entry.shape != shape_key; });
  return std::make_unique<Keeper>(*this, key, shape_key, opened.generation);
}

void ConversationStore::forget(const std::string& version) {
  const std::string key = digest(version);
  const MutexLock lock(mutex_);
  opened_.erase(key);
  remove_if([&](const Entry& entry) { return entry.version == key; });
}

void ConversationStore::forget_all_but(const std::set<std::string>& versions) {
  std::set<std::string> keys;
  for (const std::string& version : versions) keys.insert(digest(version));
  const MutexLock lock(mutex_);
  std::erase_if(opened_, [&](const auto& opened) { return !keys.contains(opened.first); });
  remove_if([&](const Entry& entry) { return !keys.contains(entry.version); });
}

ConversationStats ConversationStore::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

void ConversationStore::flush() {
  const MutexLock lock(mutex_);
  while (writing_ || !to_unlink_.empty() || next_to_write() != entries_.end()) written_.wait(mutex_);
}

bool ConversationStore::is_current(const Keeper& keeper) const {
  const auto opened = opened_.find(keeper.version);
  return opened != opened_.end() && opened->second.generation == keeper.generation;
}

bool ConversationStore::is_of(const Entry& entry, const Keeper& keeper, const std::string& owner) {
  return entry.version == keeper.version && entry.shape == keeper.shape && entry.owner == owner;
}

std::shared_ptr<const SlotState> ConversationStore::find(const Keeper& keeper, const std::string& owner,
                                                         const std::vector<std::int32_t>& tokens,
                                                         std::size_t longer_than) {
  const MutexLock lock(mutex_);
  for (;;) {
    if (!is_current(keeper)) return nullptr;
    auto best = entries_.end();
    std::size_t longest = longer_than;
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (!is_of(*it, keeper, owner)) continue;
      const std::size_t common = common_prefix(it->tokens, tokens);
      if (common <= longest || !is_mostly_of_use(common, it->tokens.size())) continue;
      longest = common;
      best = it;
    }
    if (best == entries_.end()) return nullptr;
    entries_.splice(entries_.end(), entries_, best);
    if (best->state != nullptr) return best->state;
    const std::uint64_t id = best->id;
    const std::string file = best->file;
    mutex_.unlock();
    auto state = read_conversation(file, keeper.shape);
    if (state) touch(file);
    mutex_.lock();
    if (state) return std::make_shared<const SlotState>(std::move(*state));
    telemetry::log_warning("conversations", "{}", state.error().to_string());
    if (const auto bad = find_id(id); bad != entries_.end()) {
      ++stats_.unreadable;
      remove(bad);
    }
  }
}

bool ConversationStore::make_room(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  if (bytes > options_.memory.bytes()) return has_disk() && bytes <= options_.disk.bytes();
  free_memory(bytes);
  return true;
}

void ConversationStore::put(const Keeper& keeper, SlotState state) {
  const std::uint64_t bytes = state.bytes();
  const bool in_memory = bytes <= options_.memory.bytes();
  const auto shared = std::make_shared<const SlotState>(std::move(state));
  const MutexLock lock(mutex_);
  if (!is_current(keeper)) return;
  ++stats_.saved;
  if (supersede(keeper, shared)) return;
  if (!in_memory && !has_disk()) {
    ++stats_.dropped;
    return;
  }
  if (in_memory) free_memory(bytes);
  Entry& entry = entries_.emplace_back(Entry{.id = next_id_++,
                                             .version = keeper.version,
                                             .shape = keeper.shape,
                                             .owner = shared->owner,
                                             .tokens = shared->tokens,
                                             .bytes = bytes,
                                             .state = shared,
                                             .to_write = has_disk()});
  stats_.memory_bytes += ByteSize(bytes);
  ++stats_.in_memory;
  if (in_memory) {
    work_.notify_all();
    return;
  }
  // Nowhere to stay until the writer comes to it.
  const std::uint64_t id = entry.id;
  entry.to_write = false;
  write(id);
  const auto written = find_id(id);
  if (written == entries_.end()) return;
  leave_memory(*written);
  if (written->file.empty()) {
    ++stats_.dropped;
    entries_.erase(written);
  }
}

/// Removes what `state` continues. True when all of `state` is kept already.
bool ConversationStore::supersede(const Keeper& keeper, const std::shared_ptr<const SlotState>& state) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (!is_of(*it, keeper, state->owner)) {
      ++it;
      continue;
    }
    const std::size_t common = common_prefix(it->tokens, state->tokens);
    if (common == state->tokens.size()) {
      entries_.splice(entries_.end(), entries_, it);
      return true;
    }
    it = common == it->tokens.size() ? remove(it) : std::next(it);
  }
  return false;
}

void ConversationStore::restored(const Keeper& keeper, const SlotState& state, bool taken) {
  const MutexLock lock(mutex_);
  if (taken) {
    ++stats_.restored;
    return;
  }
  ++stats_.unreadable;
  remove_if(
      [&](const Entry& entry) { return is_of(entry, keeper, state.owner) && entry.tokens == state.tokens; });
}

/// Takes out of memory what is on disk too, then what is not; each time the least recently used first.
void ConversationStore::free_memory(std::uint64_t bytes) {
  const ByteSize most = options_.memory - ByteSize(bytes);
  for (auto it = entries_.begin(); it != entries_.end() && stats_.memory_bytes > most; ++it) {
    if (it->state != nullptr && !it->file.empty()) leave_memory(*it);
  }
  for (auto it = entries_.begin(); it != entries_.end() && stats_.memory_bytes > most;) {
    if (it->state == nullptr) {
      ++it;
      continue;
    }
    ++stats_.dropped;
    it = remove(it);
  }
}

void ConversationStore::free_disk(std::uint64_t bytes) {
  for (auto it = entries_.begin();
       it != entries_.end() && stats_.disk_bytes.bytes() + bytes > options_.disk.bytes();) {
    if (it->file.empty()) {
      ++it;
      continue;
    }
    leave_disk(*it);
    if (it->state != nullptr) {
      ++it;
      continue;
    }
    ++stats_.dropped;
    it = entries_.erase(it);
  }
}

ConversationStore::Entries::iterator ConversationStore::remove(Entries::iterator entry) {
  leave_memory(*entry);
  leave_disk(*entry);
  return entries_.erase(entry);
}

void ConversationStore::remove_if(const std::function<bool(const Entry&)>& unwanted) {
  for (auto it = entries_.begin(); it != entries_.end();) it = unwanted(*it) ? remove(it) : std::next(it);
}

void ConversationStore::leave_memory(Entry& entry) {
  if (entry.state == nullptr) return;
  entry.state.reset();
  stats_.memory_bytes -= ByteSize(entry.bytes);
  --stats_.in_memory;
}

void ConversationStore::leave_disk(Entry& entry) {
  if (entry.file.empty()) return;
  to_unlink_.push_back(std::exchange(entry.file, {}));
  stats_.disk_bytes -= ByteSize(entry.file_bytes);
  --stats_.on_disk;
  work_.notify_all();
}

ConversationStore::Entries::iterator ConversationStore::find_id(std::uint64_t id) {
  return std::ranges::find(entries_, id, &Entry::id);
}

}  // namespace switchyard::engine
