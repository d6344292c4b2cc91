#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "switchyard/byte_size.h"
#include "switchyard/result.h"

// Switchyard as a library: many GGUF models in one process, loaded, parked, switched and unloaded while
// others answer. No llama.cpp type appears here.

// The installed CMake package sets this to the `switchyard` program that it came with.
#ifndef SWITCHYARD_HELPER_PATH
#define SWITCHYARD_HELPER_PATH ""
#endif

namespace switchyard {
namespace library {
class Core;
struct LeaseState;
}  // namespace library

/// Where a model runs.
enum class Isolation : std::uint8_t {
  kNone,     ///< in this process
  kProcess,  ///< in a child of its own, started from the `switchyard` program, which may crash alone
};

struct ModelManagerOptions {
  /// Bytes that all models together may take; 0: what the machine (or this process's cgroup) has,
  /// less a margin for everything else.
  ByteSize memory_budget = ByteSize(0);
  std::uint32_t models_max =
      4;                      ///< models that answer at the same time, parked ones not counted; 0 = no limit
  std::uint32_t threads = 0;  ///< cores to share between busy models; 0 = physical cores
  /// How long a request for a model may be held up by others that keep a busy model in its place.
  std::chrono::milliseconds max_wait{5000};
  /// The `switchyard` program: unknown files are read in a child of it, which may crash alone, and so may
  /// models with Isolation::kProcess. Of the same version as this library. Empty: looked for beside this
  /// program, in ../bin and in PATH.
  std::string helper_path = SWITCHYARD_HELPER_PATH;
  /// Folder where what was learnt of files, conversations, and where aliases point and how they got there,
  /// are kept for the next run; empty: they are not kept. One process at a time.
  std::string data_dir = {};
  /// Bytes for conversations whose model is away (parked, unloaded), out of the memory budget: none =
  /// 256 MiB, at most a sixteenth of the budget; 0: they are not kept in memory.
  std::optional<ByteSize> conversations_memory = {};
  /// And for their files in `data_dir`; 0: they are not kept there.
  ByteSize conversations_disk = ByteSize::gib(4);
};

/// One version of one model.
struct ModelConfig {
  std::string id;
  std::string file;  ///< the GGUF; of a split model its first part
  /// Written `id@version`. The bare id means the version added last once that has been loaded; until then,
  /// or where that fails, the one before that has.
  std::string version = "1";
  /// llama-server's option names without dashes: {{"ctx-size", "8192"}, {"parallel", "2"}, {"lora",
  /// "a.gguf"}}.
  std::map<std::string, std::string> args = {};
  std::string sha256 = {};  ///< hex; a file that is not this one is refused
  // What follows belongs to the model; the version added last decides.
  bool pin = false;                                            ///< never evicted
  std::optional<std::chrono::milliseconds> park_after = {};    ///< idle time until parked
  std::optional<std::chrono::milliseconds> unload_after = {};  ///< idle time until cold
  double weight = 1.0;  ///< a model with twice the weight is kept twice as long under pressure
  /// Of this version. With kProcess a crash of it is kUnavailable to those that use it, and the next
  /// acquire() loads it again.
  Isolation isolation = Isolation::kNone;
};

enum class ModelState : std::uint8_t {
  kCold,
  kLoading,
  kWarming,
  kHot,
  kDraining,
  kParked,
  kUnloading,
  kFailed
};
[[nodiscard]] std::string_view to_string(ModelState state) noexcept;

/// One version as it was at the moment of asking.
struct ModelInfo {
  std::string id;
  std::string version;
  ModelState state = ModelState::kCold;
  bool pinned = false;
  std::uint32_t leases = 0;
  ByteSize memory;                  ///< predicted bytes when hot; 0 until the file has been inspected
  std::uint32_t context = 0;        ///< tokens; 0 until the file has been inspected
  std::optional<Error> error = {};  ///< why the last load failed
};

struct LoadProgress {
  std::string stage;  ///< "text_model", "mmproj_model", "spec_model", "warmup"
  double value = 0;   ///< 0..1 within the stage
};

struct LoadOptions {
  std::function<void(const LoadProgress&)> on_progress = {};  ///< called from other threads; must be quick
  std::stop_token stop = {};  ///< cancels the load unless somebody else waits for it too
};

/// Whether the new version is loaded before the old one goes, or after.
enum class SwitchPolicy : std::uint8_t {
  kAvailabilityPreserving,  ///< needs room for both; the old one answers meanwhile
  kResourcePreserving,      ///< the old one goes first; acquire() of the alias waits meanwhile
};
/// What becomes of the version that an alias leaves, once it has ended what it is answering.
enum class KeepOld : std::uint8_t { kParked, kCold, kHot };

struct SwitchOptions : LoadOptions {
  SwitchPolicy policy = SwitchPolicy::kAvailabilityPreserving;
  KeepOld keep_old = KeepOld::kParked;
  /// How long the call waits for what the old version is answering; then it returns and the old version
  /// goes on. With kResourcePreserving the switch fails then.
  std::chrono::milliseconds drain_timeout{0};
  bool force = false;    ///< ends what is left at the drain timeout instead
  std::string why = {};  ///< for the history
};

/// One switch, as the history has it.
struct SwitchRecord {
  std::int64_t id = 0;
  std::string alias;
  std::string kind;  ///< "create", "switch", "rollback", "upgrade" (of a bare id), "remove"
  std::string from;  ///< `id@version`, empty for a new alias
  std::string to;
  std::string why;
  std::string outcome;  ///< "ok", "failed", "superseded", "cancelled", "rolled_back"
  std::string phase;    ///< where it ended: "admit", "load", "warm_up", "probe", "flip", "drain", "settle"
  std::optional<Error> error = {};
  std::vector<std::pair<std::string, std::chrono::microseconds>> phases;  ///< and what they took
  std::chrono::system_clock::time_point started, ended;
};

struct ChatOptions {
  std::uint32_t max_tokens = 512;          ///< the answer is cut there
  std::optional<double> temperature = {};  ///< none: the model's
};

/// A hold on a hot model: while it lives the model is neither parked nor unloaded. Move-only. Its
/// methods may be called from any thread, several at once; it may outlive the ModelManager.
class Lease {
 public:
  struct Reply {
    int status = 0;    ///< as of llama-server
    std::string body;  ///< empty where the chunks went to `on_chunk`
  };
  /// Gets a stream's bytes as they come; false ends the generation.
  using OnChunk = std::function<bool(std::string_view bytes)>;

  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();

  /// `id@version` of what is held.
  [[nodiscard]] const std::string& model() const;
  /// Calls llama-server's handler of `path` ("/v1/chat/completions", "/v1/embeddings", "/completion", ...)
  /// with a JSON body, and blocks until it is done. A reply that is a stream (`"stream": true`) goes to
  /// `on_chunk` where there is one. A refusal by the handler is a Reply with its status. Errors: kCancelled
  /// when the model is being taken away or `on_chunk` said false, kUnavailable when its process has died.
  [[nodiscard]] Result<Reply> post(std::string_view path, std::string json_body,
                                   const OnChunk& on_chunk = {}) const;
  /// One user message, the model's answer. `on_text` gets its pieces as they are made. Errors: as of
  /// post(), and kInvalidArgument or kInternal with the handler's words.
  [[nodiscard]] Result<std::string> chat(std::string_view prompt,
                                         const std::function<void(std::string_view)>& on_text = {},
                                         const ChatOptions& options = {}) const;

 private:
  friend class library::Core;
  explicit Lease(std::unique_ptr<library::LeaseState> state);
  std::unique_ptr<library::LeaseState> state_;
};

/// Keeps models and moves them in and out of memory. All methods: any thread. One per process at a
/// time. Where a `name` is asked for, an id, an alias or `id@version` will do. Errors common to all that
/// take one: kNotFound with the nearest names.
class ModelManager {
 public:
  /// Errors: kInvalidArgument (no helper found, folder not writable).
  [[nodiscard]] static Result<ModelManager> create(ModelManagerOptions options = {});
  ModelManager(ModelManager&&) noexcept;
  ModelManager& operator=(ModelManager&&) noexcept;
  /// Frees every model, after the leases that are still held.
  ~ModelManager();

  /// Adds a version, or changes it where id and version are known. Reads nothing of the file yet.
  /// Errors: kInvalidArgument (options, names), kNotFound (file).
  Status add_model(const ModelConfig& config);

  /// Makes it hot; blocks. Errors: kCorruptFile, kUnsupportedArchitecture, kDoesNotFit, kCancelled,
  /// kInternal. On failure nothing of it stays in memory.
  Status load_model(std::string_view name, const LoadOptions& options = {});
  /// Waits for its leases (30 s, then asks them to end) and frees its memory; blocks.
  Status unload_model(std::string_view name);
  /// Loads `to`, then lets `alias` (or a model's id, for one of its own versions) mean it from one moment
  /// to the next; blocks until then, and for options.drain_timeout. The version that it meant before ends
  /// what it is answering and is parked, unless another alias means it or it is pinned. Makes the alias if
  /// it is new. On failure the alias means what it meant before. Errors: as of load_model(), kConflict
  /// (superseded by a newer switch), kTimeout (kResourcePreserving, and the old version was busy).
  Status switch_model(std::string_view alias, std::string_view to, const SwitchOptions& options = {});
  /// A switch back to what `alias` meant before; once more goes one further back. Errors: kConflict where
  /// there is nothing to go back to, else as of switch_model().
  Status rollback(std::string_view alias, const SwitchOptions& options = {});
  /// What has happened to `alias`, newest first.
  [[nodiscard]] Result<std::vector<SwitchRecord>> history(std::string_view alias,
                                                          std::size_t limit = 100) const;
  /// Keeps the weights and gives back the rest, after its leases; blocks. Errors: kConflict when it is
  /// not loaded.
  Status park(std::string_view name);
  /// From parked to hot; blocks. Errors: kConflict when it is neither.
  Status resume(std::string_view name);
  /// Pinned models are never parked or unloaded but by the calls above.
  Status pin(std::string_view name, bool pinned = true);

  [[nodiscard]] std::vector<ModelInfo> list() const;
  /// alias -> `id@version`
  [[nodiscard]] std::map<std::string, std::string> aliases() const;

  /// A lease, after loading or resuming the model where it is needed; blocks. Errors: as of load_model().
  [[nodiscard]] Result<Lease> acquire(std::string_view name, std::stop_token stop = {});

 private:
  explicit ModelManager(std::shared_ptr<library::Core> core);
  std::shared_ptr<library::Core> core_;
};

}  // namespace switchyard
