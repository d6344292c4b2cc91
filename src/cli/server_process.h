#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cli/load_log.h"
#include "cli/reload.h"
#include "config/catalog.h"
#include "engine/in_process.h"
#include "http/app.h"
#include "http/periodic.h"
#include "http/server.h"
#include "models/manager.h"
#include "models/resident_set.h"
#include "registry/registry.h"
#include "store/state_database.h"
#include "telemetry/event_bus.h"
#include "telemetry/log.h"
#include "traffic/switcher.h"

namespace switchyard::cli {

/// The whole server, put together. One per process; made, used and destroyed by one thread.
class ServerProcess {
 public:
  /// Listens when it returns, but answers 503 until serve(). Errors: what the engine, the addresses
  /// or the catalog say.
  [[nodiscard]] static Result<std::unique_ptr<ServerProcess>> start(config::Sources sources,
                                                                    config::Catalog catalog);
  ~ServerProcess();

  [[nodiscard]] std::vector<std::string> addresses() const { return server_->addresses(); }
  /// Begins to answer. The one model of -m is loaded first; `failed` is called when that fails.
  void serve(const std::function<void(std::string why)>& failed);
  [[nodiscard]] Result<std::string> reload() { return reloader_->reload(); }
  /// Not ready first; then finishes what runs and what is held, bounded by the configured time. Blocks.
  void stop();

 private:
  ServerProcess(config::Sources sources, const config::Catalog& catalog);
  Status start_parts(config::Catalog catalog);
  /// What a reload changes in a running server.
  void apply_settings(const config::Catalog& catalog);
  /// Reloads by itself, when it is told to.
  void begin_to_watch();
  [[nodiscard]] http::AppOptions app_options();
  [[nodiscard]] http::ServerOptions server_options() const;
  [[nodiscard]] engine::LoaderOptions loader_options(const std::string& data_dir) const;
  /// The data folder, made if need be; empty where there is none.
  [[nodiscard]] std::string prepare_data_dir() const;

  const config::Sources sources_;
  const config::Catalog catalog_;  ///< as at the start, without its models
  std::atomic<Duration> shutdown_timeout_;
  // In the order in which they depend on each other.
  telemetry::EventBus events_;
  telemetry::EventBus::Subscription log_;  ///< what happens to models, in the log
  LoadLog load_log_{events_, [](const std::string& line) { telemetry::log_info("models", "{}", line); }};
  std::unique_ptr<store::StateDatabase> state_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<engine::EngineLoader> engines_;
  std::unique_ptr<engine::EngineLoader> loader_;  ///< engines_, but for files that were replaced
  std::unique_ptr<engine::ProcessRoutes> process_routes_;
  ThreadPool executor_{"models", 64};
  std::unique_ptr<models::Manager> manager_;
  std::unique_ptr<traffic::Switcher> switcher_;
  std::unique_ptr<Reloader> reloader_;
  std::unique_ptr<models::ResidentSet> residents_;
  std::unique_ptr<http::Periodic> note_residents_;
  std::unique_ptr<http::App> app_;
  std::unique_ptr<http::Server> server_;
  std::optional<FileWatch> file_watch_;
  std::unique_ptr<http::Periodic> watching_;  ///< the thread of file_watch_
};

/// This program's file, for the children that it starts.
[[nodiscard]] std::string own_path();

}  // namespace switchyard::cli
