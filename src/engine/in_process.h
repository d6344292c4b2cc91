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
  std::string helper_path;  ///< `switchyard` binary, run as `switchyard inspect-child`; empty: this program
  std::string cache_path = {};  ///< SQLite file that keeps inspections over restarts; empty: memory only
  std::uint32_t threads = 0;    ///< cores to share between busy engines; 0 = physical cores
  ByteSize default_prompt_cache = ByteSize::mib(256);  ///< --cache-ram for models that do not say
  ConversationOptions conversations = {};
};

/// Starts llama.cpp once for the process (backend, logger, stream sessions) and loads engines into
/// it. One loader at a time per process.
[[nodiscard]] std::unique_ptr<EngineLoader> make_in_process_loader(const LoaderOptions& options);

/// The process-wide handlers; needs a living loader.
[[nodiscard]] std::unique_ptr<ProcessRoutes> make_process_routes();

/// `switchyard inspect-child`: reads a request from standard input, writes the answer to standard
/// output, never returns normally on a crash of llama.cpp. The exit status for main().
int run_inspect_child();

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

}  // namespace switchyard::engine
