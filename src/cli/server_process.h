#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cli/alerting.h"
#include "cli/experimenting.h"
#include "cli/key_mark.h"
#include "cli/load_log.h"
#include "cli/reload.h"
#include "config/catalog.h"
#include "engine/in_process.h"
#include "health/monitor.h"
#include "health/quarantines.h"
#include "http/app.h"
#include "http/periodic.h"
#include "http/server.h"
#include "models/manager.h"
#include "models/resident_set.h"
#include "pressure/pressure_watch.h"
#include "registry/registry.h"
#include "service/notifier.h"
#include "service/watchdog.h"
#include "store/state_database.h"
#include "telemetry/event_bus.h"
#include "telemetry/log.h"
#include "tenants/tenants.h"
#include "traffic/canaries.h"
#include "traffic/shadows.h"
#include "traffic/switcher.h"

namespace switchyard::cli {

/// The whole server, put together. One per process; made, used and destroyed by one thread.
class ServerProcess {
 public:
  /// Listens when it returns, but answers 503 until serve(). Errors: what the engine, the addresses
  /// or the catalog say. `notifier` is told how it goes from here on; it must outlive this.
  [[nodiscard]] static Result<std::unique_ptr<ServerProcess>> start(config::Sources sources,
                                                                    config::Catalog catalog,
                                                                    const service::Notifier& notifier);
  ~ServerProcess();

  [[nodiscard]] std::vector<std::string> addresses() const { return server_->addresses(); }
  /// Begins to answer. The one model of -m is loaded first; `failed` is called when that fails.
  void serve(const std::function<void(std::string why)>& failed);
  [[nodiscard]] Result<std::string> reload();
  /// Not ready first; then finishes what runs and what is held, bounded by the configured time. Blocks.
  void stop();

 private:
  ServerProcess(config::Sources sources, const config::Catalog& catalog, const service::Notifier& notifier);
  Status start_parts(config::Catalog catalog);
  /// Keys first: nobody may come in before they are known.
  Status begin_tenants(const std::string& data_dir);
  [[nodiscard]] config::TenantKeys tenant_keys() const;
  /// What a reload changes in a running server.
  void apply_settings(const config::Catalog& catalog);
  /// Reloads by itself, when it is told to.
  void begin_to_watch();
  /// Unloads what is idle when the machine runs out of memory, if it is told to.
  void watch_memory(bool wanted);
  /// Tells the service manager that this process lives, if it wants to know.
  void begin_to_pulse();
  void set_ready();
  /// What systemd shows of it.
  void tell_status() const;
  [[nodiscard]] http::AppOptions app_options();
  [[nodiscard]] http::ServerOptions server_options() const;
  [[nodiscard]] engine::LoaderOptions loader_options(const std::string& data_dir) const;
  /// The data folder, made if need be; empty where there is none.
  [[nodiscard]] std::string prepare_data_dir() const;

  const config::Sources sources_;
  const config::Catalog catalog_;  ///< as at the start, without its models
  const service::Notifier& notifier_;
  std::atomic<Duration> shutdown_timeout_;
  std::atomic<bool> ready_ = false;
  // In the order in which they depend on each other.
  telemetry::EventBus events_;
  telemetry::EventBus::Subscription log_;  ///< what happens to models, in the log
  LoadLog load_log_{events_, [](const std::string& line) { telemetry::log_info("models", "{}", line); }};
  std::unique_ptr<store::StateDatabase> state_;
  std::unique_ptr<tenants::Tenants> tenants_;
  std::optional<KeyMark> key_mark_;
  std::unique_ptr<http::Periodic> write_usage_;
  bool usage_told_ = false;  ///< that it cannot be written; of the thread of write_usage_
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<engine::Loader> engines_;
  std::unique_ptr<engine::EngineLoader> loader_;  ///< engines_, but for files that were replaced
  std::unique_ptr<engine::ProcessRoutes> process_routes_;
  ThreadPool executor_{"models", 64};
  std::unique_ptr<models::Manager> manager_;
  std::unique_ptr<traffic::Switcher> switcher_;
  std::unique_ptr<traffic::Canaries> canaries_;
  std::unique_ptr<traffic::Shadows> shadows_;
  std::unique_ptr<Reloader> reloader_;
  std::unique_ptr<models::ResidentSet> residents_;
  std::unique_ptr<http::Periodic> note_residents_;
  std::unique_ptr<Alerting> alerting_;
  std::unique_ptr<Experimenting> experimenting_;
  std::unique_ptr<pressure::PressureWatch> memory_watch_;
  std::unique_ptr<health::Monitor> monitor_;
  std::unique_ptr<health::Quarantines> quarantines_;
  std::unique_ptr<http::Periodic> watch_health_;
  std::unique_ptr<http::App> app_;
  std::unique_ptr<http::Server> server_;
  std::optional<FileWatch> file_watch_;
  std::unique_ptr<http::Periodic> watching_;  ///< the thread of file_watch_
  std::optional<service::Watchdog> watchdog_;
  std::unique_ptr<http::Periodic> pulsing_;  ///< the thread of watchdog_
};

/// Level and format of the whole process's log.
void apply_log_settings(const config::ServerSettings& server);

/// This program's file, for the children that it starts.
[[nodiscard]] std::string own_path();

}  // namespace switchyard::cli
