#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "engine/api/engine.h"
#include "engine/slot_state.h"

namespace switchyard::engine {

/// Conversations of engines that have left, and of those that are hot and had more conversations than
/// slots. Two tiers: memory, and behind it a folder that survives a restart. A state is written to the
/// folder by a thread of its own after it has been put, oldest first; one that memory has no room for
/// any more is then read from there. Beyond a tier's bound the least recently used goes first.
///
/// Whose a state is: `version` ("model@version"), `shape`, which names everything that the state
/// depends on: weights, context, adapters, llama.cpp; and SlotState::owner, the tenant. States of another
/// shape or owner are never given out; a version's states go when it is opened with another shape, and when
/// it is forgotten.
///
/// Any thread. find() and put() may read and write one file; nothing else blocks longer than a mutex.
class ConversationStore {
 public:
  struct Options {
    ByteSize memory;          ///< most bytes of the memory tier; 0: none
    ByteSize disk = {};       ///< most bytes of the files; 0: none
    std::string folder = {};  ///< made when absent, its owner's alone; empty: no disk tier
    std::chrono::milliseconds finish_within =
        std::chrono::seconds(10);  ///< at the end, for what is unwritten
  };

  /// Takes over what the folder holds; what it cannot read there is removed.
  explicit ConversationStore(Options options);
  /// Writes what is not on disk yet, bounded by `finish_within`. No keeper may be alive.
  ~ConversationStore();
  ConversationStore(const ConversationStore&) = delete;
  ConversationStore& operator=(const ConversationStore&) = delete;

  /// A version's door to the store. What it puts after forget(version) is dropped.
  [[nodiscard]] std::unique_ptr<SlotStateKeeper> open(const std::string& version, const std::string& shape)
      EXCLUDES(mutex_);
  void forget(const std::string& version) EXCLUDES(mutex_);
  /// Forgets all versions that are not named.
  void forget_all_but(const std::set<std::string>& versions) EXCLUDES(mutex_);

  [[nodiscard]] ConversationStats stats() const EXCLUDES(mutex_);
  /// Blocks until nothing is left to write or to remove.
  void flush() EXCLUDES(mutex_);

 private:
  class Keeper;
  struct Entry {
    std::uint64_t id = 0;
    std::string version;  ///< hashed, as is the shape: the name of its folder
    std::string shape;
    std::string owner;
    std::vector<std::int32_t> tokens;
    std::uint64_t bytes = 0;
    std::shared_ptr<const SlotState> state = {};  ///< null when it is on disk only
    std::string file = {};                        ///< empty when it is in memory only
    std::uint64_t file_bytes = 0;
    bool to_write = false;
  };
  using Entries = std::list<Entry>;
  struct Opened {
    std::uint64_t generation = 0;
    std::string shape;
  };

  [[nodiscard]] bool has_disk() const { return !options_.folder.empty() && options_.disk > ByteSize(0); }

  std::shared_ptr<const SlotState> find(const Keeper& keeper, const std::string& owner,
                                        const std::vector<std::int32_t>& tokens, std::size_t longer_than)
      EXCLUDES(mutex_);
  bool make_room(std::uint64_t bytes) EXCLUDES(mutex_);
  void put(const Keeper& keeper, SlotState state) EXCLUDES(mutex_);
  void restored(const Keeper& keeper, const SlotState& state, bool taken) EXCLUDES(mutex_);

  bool is_current(const Keeper& keeper) const REQUIRES(mutex_);
  static bool is_of(const Entry& entry, const Keeper& keeper, const std::string& owner);
  bool supersede(const Keeper& keeper, const std::shared_ptr<const SlotState>& state) REQUIRES(mutex_);
  void free_memory(std::uint64_t bytes) REQUIRES(mutex_);
  void free_disk(std::uint64_t bytes) REQUIRES(mutex_);
  /// Out of both tiers.
  Entries::iterator remove(Entries::iterator entry) REQUIRES(mutex_);
  void remove_if(const std::function<bool(const Entry&)>& unwanted) REQUIRES(mutex_);
  void leave_memory(Entry& entry) REQUIRES(mutex_);
  void leave_disk(Entry& entry) REQUIRES(mutex_);
  void read_folder() EXCLUDES(mutex_);
  Entries::iterator next_to_write() REQUIRES(mutex_);
  Entries::iterator find_id(std::uint64_t id) REQUIRES(mutex_);
  void write(std::uint64_t id) REQUIRES(mutex_);
  void unlink_all() REQUIRES(mutex_);
  void write_loop() EXCLUDES(mutex_);

  const Options options_;

  mutable Mutex mutex_;
  CondVar work_;                        // something to write or to remove, or the end
  CondVar written_;                     // nothing is left to do
  Entries entries_ GUARDED_BY(mutex_);  // least recently used first
  std::map<std::string, Opened> opened_ GUARDED_BY(mutex_);
  std::vector<std::string> to_unlink_ GUARDED_BY(mutex_);
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  ConversationStats stats_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool told_ GUARDED_BY(mutex_) = false;  // that the disk does not take any more
  bool ending_ GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point end_ GUARDED_BY(mutex_);
  std::thread writer_;
};

}  // namespace switchyard::engine
