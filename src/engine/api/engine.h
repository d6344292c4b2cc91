#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/api/loop_activity.h"
#include "switchyard/byte_size.h"
#include "switchyard/result.h"

// What the rest of the program knows of an engine. No llama.cpp, HTTP or JSON type appears here, so
// lifecycle, budget and routing are built and tested against fakes.

namespace switchyard::engine {

/// llama-server options of one version: canonical long name without dashes ("ctx-size", "model",
/// "mmproj") -> value as text ("8192", "true"). Made and checked by engine/args.h.
using ArgMap = std::map<std::string, std::string>;

/// Where an engine lives.
enum class Isolation : std::uint8_t {
  kNone,     ///< in this process
  kProcess,  ///< in a worker process of its own, which may die alone
};

/// What a worker process may take; nothing said, no bound.
struct WorkerLimits {
  ByteSize memory = {};                  ///< of its own: heap, KV cache, stacks; not the mapped model file
  std::vector<std::uint32_t> cpus = {};  ///< processors that it may run on
  int nice = 0;                          ///< as of nice(1): above 0 it gives way to others

  bool operator==(const WorkerLimits&) const = default;
};

/// One loadable thing. Immutable once handed over.
struct ModelSpec {
  std::string model;          ///< the model's id
  std::string version = "1";  ///< the version's name
  std::string reply_name;     ///< what replies carry in `model`
  ArgMap args;                ///< "model" is the GGUF's absolute path
  std::string sha256 = {};    ///< hex pin of the GGUF, empty for none
  std::string file_stamp =
      {};  ///< size, mtime and inode as catalogued: another file under the same path is another spec
  Isolation isolation = Isolation::kNone;
  WorkerLimits worker = {};  ///< with Isolation::kProcess

  bool operator==(const ModelSpec&) const = default;
};

/// Bytes that a loaded version takes, by kind and by where. `device` is "host" or a ggml device name.
struct MemoryNeed {
  struct Item {
    std::string device;
    ByteSize weights_mapped = {};   ///< file pages that the kernel can take back (mmap, not repacked)
    ByteSize weights_private = {};  ///< weights in buffers of their own (GPU, repacked, no mmap)
    ByteSize context = {};          ///< KV cache or recurrent state
    ByteSize compute = {};          ///< compute graph and output buffers
    ByteSize vocabulary = {};       ///< tokenizer, tensor metadata, chat template and other heap of the model
    ByteSize prompt_cache = {};     ///< most that the engine's own prompt cache may grow to
    ByteSize device_memory = {};    ///< all that the device has, used or not; 0 for the host
    [[nodiscard]] ByteSize total() const {
      return weights_mapped + weights_private + context + compute + vocabulary + prompt_cache;
    }
  };
  std::vector<Item> items;                  ///< one per device, "host" first
  std::vector<ByteSize> host_buffers = {};  ///< of these bytes, the buffers that the load asks the host for
};

/// What is learnt of a version without loading it.
struct Inspection {
  std::string weights_key;  ///< equal for versions that share one copy of the weights
  MemoryNeed need;
  ArgMap resolved_args;  ///< the spec's args with what was unset and now is decided (ctx-size, ...)
  std::uint32_t n_ctx = 0;
  std::uint32_t n_ctx_train = 0;
  std::uint32_t n_layers = 0;
  std::uint32_t n_slots = 0;
  std::uint64_t n_params = 0;
  ByteSize file_size;
  std::string architecture;
  bool inp_vision = false;
  bool inp_audio = false;
  bool context_shapes_state = false;  ///< its rotary positions are other ones with another context size
  std::vector<int> context_probes =
      {};                    ///< what llama.cpp's trials of its contexts said (engine/context_probe.h)
  std::string details_json;  ///< GGUF metadata and tensor types, as `switchyard inspect --json` prints
};

/// The bounds within which unset sizes (context, GPU layers) are chosen.
struct InspectOptions {
  ByteSize host_budget;
  std::map<std::string, ByteSize> device_budgets = {};
  ByteSize beside_on_device = {};  ///< of each device's budget, what is not the model's
};

struct UploadedFile {
  std::vector<std::uint8_t> data;
  std::string filename;
  std::string content_type;
};

/// One request for an engine, in llama-server's terms.
struct Request {
  std::string method;                         ///< "GET", "POST", "DELETE"
  std::string path;                           ///< llama-server's path, without --api-prefix
  std::map<std::string, std::string> params;  ///< query and path parameters, decoded
  std::string query_string;
  std::map<std::string, std::string> headers;
  std::string body;
  std::map<std::string, UploadedFile> files = {};
  /// Whose conversations it may go on with, and whose it leaves behind; empty: nobody's, who is one as well.
  std::string owner = {};
  /// The tenant that waits for the first token; empty: nobody does (batch work, the server's own requests),
  /// or nobody whom we know. A short prompt of one to whom no reply is under way goes before others' next
  /// tokens.
  std::string asker = {};
  std::function<bool()> should_stop = [] { return false; };  ///< polled from engine threads
};

/// A reply that is pulled. One thread at a time; every call but status() may block while the engine
/// works, and so may the destructor (llama.cpp goes on generating into a resumable stream).
class Reply {
 public:
  virtual ~Reply() = default;
  [[nodiscard]] virtual int status() const = 0;
  [[nodiscard]] virtual const std::string& content_type() const = 0;
  [[nodiscard]] virtual const std::map<std::string, std::string>& headers() const = 0;
  [[nodiscard]] virtual bool is_stream() const = 0;
  /// The whole body of a reply that is no stream.
  [[nodiscard]] virtual std::string take_body() = 0;
  /// The next bytes of a stream into `chunk` (possibly none); false after the last.
  virtual bool next(std::string& chunk) = 0;
  /// Why the reply is not whole, or none at all: its engine has died. Null while it is well.
  [[nodiscard]] virtual const Error* failure() const { return nullptr; }
};

/// Counters of one engine since it was loaded, as last sampled (llama-server's /metrics).
struct EngineSample {
  std::uint64_t prompt_tokens = 0;
  double prompt_seconds = 0;
  std::uint64_t predicted_tokens = 0;
  double predicted_seconds = 0;
  std::uint64_t decode_calls = 0;
  std::uint64_t busy_slot_sum = 0;  ///< busy slots added up over decode calls
  std::uint64_t max_tokens = 0;     ///< longest sequence seen
  std::uint32_t requests_processing = 0;
  std::uint32_t requests_deferred = 0;
};

/// Keeps one version's weights in memory. Any thread.
class Weights {
 public:
  virtual ~Weights() = default;
  /// Gives the mapped pages back to the kernel (they stay in the page cache), and the host's private copies
  /// where the next load makes them again in a moment. Only while no engine uses these weights; returns how
  /// much is mapped.
  virtual ByteSize release_pages() = 0;
  /// Whether the last release_pages() gave the private copies back, too.
  [[nodiscard]] virtual bool copies_dropped() const { return false; }
  /// Stopped when the weights are gone without having been let go, and every engine of theirs with them: the
  /// process that held them has died. Its callbacks run on a thread of the loader's. Never stopped for what
  /// is in this process.
  [[nodiscard]] virtual std::stop_token lost() const { return {}; }
  /// Why, once lost() is stopped.
  [[nodiscard]] virtual Error why_lost() const { return {}; }
  /// They are of no use any more: a process that holds them is killed, whatever it does, and with it every
  /// engine of theirs. Does not block.
  virtual void abandon() {}
};

/// A loaded version that answers requests. handle() from any thread, any number at once. The
/// destructor waits for the engine's loop to end: no Reply may be alive, and it may take 100 ms.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Blocks until the head of the reply is known (the first token of a stream, all of the rest).
  /// Paths that the engine does not have give 404 as llama-server does. Never null, never throws.
  [[nodiscard]] virtual std::unique_ptr<Reply> handle(Request request) = 0;
  /// Counters; the last known ones when the engine does not answer within `patience`.
  [[nodiscard]] virtual EngineSample sample(std::chrono::milliseconds patience) = 0;
  /// llama-server's entry for /v1/models ("meta", ...) as a JSON object.
  [[nodiscard]] virtual std::string info_json() const = 0;
  /// llama-server's GET /props; the same as long as the engine lives.
  [[nodiscard]] virtual std::string props_json() = 0;
  /// A hold on the weights that outlives the engine: parked = this without the engine.
  [[nodiscard]] virtual std::shared_ptr<Weights> weights() = 0;
  /// One short, real piece of the work that it was loaded for, which sample() does not count. Blocks until
  /// it is done; kTimeout when it was not after `bound`, else kInternal with what the engine said.
  [[nodiscard]] virtual Status probe(std::chrono::milliseconds bound) = 0;
  /// To be read as long as anybody wants, also when the engine is gone. Null where it is not known.
  [[nodiscard]] virtual std::shared_ptr<const LoopActivity> activity() const { return nullptr; }
  /// Gives the engine up: what it works at ends early, with errors. Waits for that, at most `bound`. False
  /// when it did not end; the engine may be neither used nor destroyed then.
  [[nodiscard]] virtual bool abort(std::chrono::milliseconds /*bound*/) { return true; }
};

/// How far a load is. `stage` is llama-server's ("text_model", "mmproj_model", "spec_model") or
/// "warmup"; `value` within 0..1.
struct LoadProgress {
  std::string stage;
  std::vector<std::string> stages;
  double value = 0;
};

/// What is kept of conversations whose engine has left, and what became of them since the start.
struct ConversationStats {
  ByteSize memory_bytes, disk_bytes;
  std::uint64_t in_memory = 0, on_disk = 0;  ///< conversations now; one may be in both
  std::uint64_t saved = 0;                   ///< came from an engine
  std::uint64_t restored = 0;                ///< went back into one
  std::uint64_t dropped = 0;                 ///< left both tiers for want of room
  std::uint64_t unreadable = 0;              ///< files that were damaged, states that llama.cpp did not take
};

/// Makes engines. Any thread, several at once; every call blocks.
class EngineLoader {
 public:
  virtual ~EngineLoader() = default;

  /// Reads the file in a short-lived child process and predicts its memory; answered from a cache
  /// when path, size, mtime and arguments are known. Errors: kNotFound, kCorruptFile,
  /// kUnsupportedArchitecture, kInvalidArgument (arguments), kDoesNotFit is NOT one of them.
  [[nodiscard]] virtual Result<Inspection> inspect(const ModelSpec& spec, const InspectOptions& options,
                                                   std::stop_token stop) = 0;

  /// Loads `spec` with the arguments that its inspection resolved, warms it up and lets it generate
  /// once unless its weights are held already (a return from parked). `progress` is called from the
  /// loading thread. On failure nothing of it stays in memory. Errors: as inspect, and kCancelled
  /// after `stop`, kInternal with llama.cpp's own words as cause.
  [[nodiscard]] virtual Result<std::unique_ptr<Engine>> load(
      const ModelSpec& spec, const Inspection& inspection,
      const std::function<void(const LoadProgress&)>& progress, std::stop_token stop) = 0;

  /// Has the system read the files that a load of `spec` will need into memory that it can take back, until
  /// all is asked for or `stop`. Says nothing of whether it did.
  virtual void prefetch(const ModelSpec& spec, std::stop_token stop) = 0;

  /// The version is in the catalog no more: what is kept of its conversations goes. Does not block.
  virtual void forget(const std::string& model, const std::string& version) = 0;
  /// The same for what was kept by an earlier process: only these versions, by model, are catalogued.
  virtual void forget_all_but(const std::map<std::string, std::vector<std::string>>& versions) = 0;
  [[nodiscard]] virtual ConversationStats conversations() const = 0;
};

}  // namespace switchyard::engine
