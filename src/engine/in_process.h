#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/api/engine.h"
#include "engine/api/process_routes.h"

namespace switchyard::engine {

/// Where conversations stay while their engine is away. By default nowhere.
struct ConversationOptions {
  ByteSize memory = {};     ///< most bytes in memory; 0: none
  ByteSize disk = {};       ///< most bytes in `folder`; 0: none
  std::string folder = {};  ///< survives a restart; empty: memory only
};

struct LoaderOptions {
  std::string
      helper_path;  ///< `switchyard` binary, run as `inspect-child` and as `worker`; empty: this program
  std::string cache_path = {};  ///< SQLite file that keeps inspections over restarts; empty: memory only
  std::uint32_t threads = 0;    ///< cores to share between busy engines; 0 = physical cores
  ByteSize default_prompt_cache = ByteSize::mib(256);  ///< --cache-ram for models that do not say
  ConversationOptions conversations = {};
  /// Called once, on its own thread, with an engine that cannot go on and why. Its running replies end with
  /// llama.cpp's words after that; it must not block.
  std::function<void(const std::string& model, const std::string& version, const Error& why)> on_failed = {};
  ArgMap process_args =
      {};  ///< options of the whole process that workers are to have too: see apply_process_args()
};

/// Loads engines into this process, and those with Isolation::kProcess into workers of it.
class Loader : public EngineLoader {
 public:
  /// The process-wide handlers, of this process and its workers; must go before the loader.
  [[nodiscard]] virtual std::unique_ptr<ProcessRoutes> process_routes() = 0;
};

/// Starts llama.cpp once for the process (backend, logger, stream sessions). One loader at a time per
/// process; its engines and their weights must go before it.
[[nodiscard]] std::unique_ptr<Loader> make_loader(const LoaderOptions& options);

/// `switchyard inspect-child`: reads a request from standard input, writes the answer to standard
/// output, never returns normally on a crash of llama.cpp. The exit status for main().
int run_inspect_child();

/// `switchyard worker`: what a server runs for versions with Isolation::kProcess. Over the socket that it
/// inherits it is told what to load and what to answer. The exit status for main().
int run_worker();

/// llama.cpp's own version text ("b1234-abcdef").
[[nodiscard]] std::string llama_build_info();

/// Compute devices for `doctor`: name, description, total and free bytes.
struct Device {
  std::string name;
  std::string description;
  ByteSize total;
  ByteSize free;
};
[[nodiscard]] std::vector<Device> list_devices();

/// Whether inspections run in a sandbox, and if not why.
[[nodiscard]] std::string sandbox_text();

}  // namespace switchyard::engine
