#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "alerts/monitor.h"
#include "engine/api/process_routes.h"
#include "engine/download.h"
#include "experiments/recorder.h"
#include "gateway/request_record.h"
#include "health/monitor.h"
#include "http/live_settings.h"
#include "http/server.h"
#include "http/version_functions.h"
#include "models/manager.h"
#include "telemetry/event_bus.h"
#include "tenants/tenants.h"
#include "traffic/canaries.h"
#include "traffic/shadows.h"
#include "traffic/switcher.h"

namespace switchyard::http {

struct Route;

/// engine/download.h as function objects, so that http/ needs no llama.cpp. Each blocks. Offline there is
/// only `remove`.
struct DownloadFunctions {
  std::function<Status(const std::string& repo)> check;
  std::function<Status(const std::string& repo,
                       const std::function<bool(const engine::DownloadProgress&)>& progress)>
      download;
  std::function<Status(const std::string& name)> remove;  ///< deletes a cached model's files
};

struct AppOptions {
  Settings settings = {};         ///< those of the start; App::apply() changes them
  bool single_model = false;      ///< -m mode: /props, /slots, /metrics and /v1/models are the one model's
  std::string api_prefix = {};    ///< "/v9" in front of every path; empty for none
  std::string version = "0.1.0";  ///< of this program
  std::string build_info = {};    ///< engine::llama_build_info(), shown in /props
  std::chrono::milliseconds sample_interval{2000};  ///< how often the engines' counters are read
  std::size_t max_calls = 1024;                     ///< threads that may work for requests at once

  // What the rest of the program does for the API. An empty function makes its route refuse with a
  // sentence that says so. These may block: they are called on a worker thread.
  /// What is kept of conversations, for the metrics. Must be quick.
  std::function<engine::ConversationStats()> conversations = {};
  /// What fires, for its page and the metrics. Must be quick.
  std::function<alerts::Report()> alerts = {};
  /// Looks for new and changed models (GET /models?reload=1).
  std::function<Status()> reload_catalog = {};
  /// Applies the config file's differences; JSON text that says what changed.
  std::function<Result<std::string>()> reload_config = {};
  DownloadFunctions downloads = {};
  VersionFunctions versions = {};
  /// Told of every request an engine was asked for, after the metrics.
  gateway::RequestObserver on_request = {};
};

/// The whole HTTP API: every dialect, keys, CORS, metrics. Any thread. The server that calls
/// handler() must have been shut down before the App is destroyed; the destructor waits for the
/// requests that are still running.
class App {
 public:
  struct Dependencies {
    models::Manager& manager;
    telemetry::EventBus& events;
    traffic::Switcher& switcher;
    traffic::Canaries& canaries;
    traffic::Shadows& shadows;
    health::Monitor& monitor;
    tenants::Tenants& tenants;
    experiments::Recorder& experiments;               ///< its write() is somebody else's to call
    engine::ProcessRoutes* process_routes = nullptr;  ///< null: no resumable streams
  };

  App(Dependencies dependencies, AppOptions options);
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  /// For Server::start().
  [[nodiscard]] Handler handler();
  /// For ServerOptions::error_response: errors found before a handler ran, in llama-server's form.
  [[nodiscard]] static Response error_response(int status, std::string_view what);

  /// Holds for every request that comes from now on.
  void apply(Settings settings);
  /// Until this is called every route but the front page answers 503 "Loading model".
  void set_ready();
  /// New requests get 503, event streams end; held and running requests go on.
  void begin_shutdown();
  /// Refuses the held ones and asks the running ones to stop: streams end with an error frame.
  void stop_requests();
  /// Requests that are held or running.
  [[nodiscard]] std::size_t in_flight() const;
  /// Everything that handler() answers, for tests that hold each route to a rule.
  [[nodiscard]] const std::vector<Route>& routes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace switchyard::http
