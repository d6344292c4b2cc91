#include "cli/server_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "cli/version.h"
#include "engine/args.h"
#include "engine/download.h"
#include "telemetry/log.h"

namespace switchyard::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kNoteResidents = 5s;  // uses change the order
constexpr std::chrono::milliseconds kWatchHealth = 1s;
constexpr std::chrono::milliseconds kWriteUsage = 1s;  // what a kill may lose
constexpr auto kGiveUp = 5s;  // for what was asked to end when the time for finishing has passed

double random_fraction() {
  static Mutex mutex;
  static std::minstd_rand engine{std::random_device{}()};
  const MutexLock lock(mutex);
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

/// One line for what a model's owner would want to know of.
void log_event(const telemetry::Event& event) {
  const auto text = [&](const char* key) {
    const auto found = event.text.find(key);
    return found == event.text.end() ? std::string() : found->second;
  };
  if (event.type == "alias" && text("result") == "ok") {
    telemetry::log_info("traffic", "{}: {} -> {} ({})", text("alias"), text("from"), text("to"),
                        text("kind"));
  } else if (event.type == "alias") {
    telemetry::log_warning("traffic", "{}: {} -> {} {}: {}", text("alias"), text("from"), text("to"),
                           text("result"), text("error"));
  }
  const std::string to = text("to");
  if (event.type == "health" && (to == "degraded" || to == "failed" || to == "quarantined")) {
    telemetry::log_warning("health", "{}@{} is {}: {}", event.model, event.version, to,
                           event.text.contains("error") ? text("error")
                                                        : fmt::format("it took {:.0f} ms to answer a probe",
                                                                      event.numbers.at("latency_ms")));
  }
  if (event.type != "state") return;
  if (to == "hot" && event.numbers.contains("load_ms")) {
    telemetry::log_info("models", "{}@{} is hot after {:.0f} ms, from {} ({})", event.model, event.version,
                        event.numbers.at("load_ms"), text("origin"), text("cause"));
  } else if (to == "failed" && text("from") != "failed") {
    telemetry::log_error("models", "{}@{} failed: {}", event.model, event.version, text("error"));
  } else if (to == "parked" || to == "cold") {
    telemetry::log_info("models", "{}@{} is {} ({})", event.model, event.version, to, text("cause"));
  }
}

http::DownloadFunctions download_functions(const config::ServerSettings& server) {
  http::DownloadFunctions functions;
  functions.remove = [](const std::string& name) { return engine::remove_cached_model(name); };
  if (server.offline) return functions;
  functions.check = [token = server.hf_token](const std::string& repo) {
    return engine::check_remote_model(repo, token);
  };
  functions.download = [token = server.hf_token](
                           const std::string& repo,
                           const std::function<bool(const engine::DownloadProgress&)>& progress) {
    return engine::download_model(repo, token, progress);
  };
  return functions;
}

/// Administrators' keys are those of the start where their file has gone since: no reload opens a server.
http::Settings live_settings(const config::Catalog& catalog,
                             const std::vector<std::string>& admin_keys_of_the_start) {
  const config::ServerSettings& server = catalog.server;
  std::vector<std::string> keys = server.admin_keys.empty() ? admin_keys_of_the_start : server.admin_keys;
  keys.insert(keys.end(), server.api_keys.begin(), server.api_keys.end());
  return {.default_model = catalog.default_model,
          .autoload = server.autoload,
          .api_keys = keys,
          .cors = {server.cors_origins, server.cors_methods, server.cors_headers, server.cors_credentials},
          .shared_conversations = server.shared_conversations,
          .requests = {.max_queue_per_model = server.max_queue_per_model,
                       .max_queue = server.max_queue,
                       .slow_reader_timeout = server.slow_reader_timeout,
                       .keep_slot_for = server.keep_slot_for},
          .log = {.requests = server.log_requests, .prompts = server.log_prompts}};
}

}  // namespace

void apply_log_settings(const config::ServerSettings& server) {
  using telemetry::LogLevel;
  const int verbosity = server.log_level;  // as llama-server counts
  telemetry::set_log_level(verbosity <= 1   ? LogLevel::kError
                           : verbosity == 2 ? LogLevel::kWarning
                           : verbosity == 3 ? LogLevel::kInfo
                                            : LogLevel::kDebug);
  telemetry::set_log_format(server.log_json ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText);
}

std::string own_path() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : path.string();
}

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(config::Sources sources, config::Catalog catalog,
                                                            const service::Notifier& notifier) {
  std::unique_ptr<ServerProcess> process(new ServerProcess(std::move(sources), catalog, notifier));
  if (const Status started = process->start_parts(std::move(catalog)); !started)
    return std::unexpected(started.error());
  return process;
}

ServerProcess::ServerProcess(config::Sources sources, const config::Catalog& catalog,
                             const service::Notifier& notifier)
    : sources_(std::move(sources)),
      catalog_(config::without_models(catalog)),
      notifier_(notifier),
      shutdown_timeout_(catalog_.server.shutdown_timeout) {}

ServerProcess::~ServerProcess() {
  pulsing_.reset();
  watching_.reset();
  note_residents_.reset();
  // The App waits for its requests, and they for the manager: the sockets go first, then the API.
  if (server_) server_->shutdown(0ms);
  server_.reset();
  app_.reset();
  watch_health_.reset();
  write_usage_.reset();
  if (tenants_ == nullptr) return;
  if (const Status written = tenants_->usage.flush(); !written)
    telemetry::log_error("tenants", "usage is lost: {}", written.error().to_string());
}

std::string ServerProcess::prepare_data_dir() const {
  namespace fs = std::filesystem;
  const std::string& dir = catalog_.server.data_dir;
  if (dir.empty()) return {};
  std::error_code error;
  const bool made = fs::create_directories(dir, error);
  if (made) fs::permissions(dir, fs::perms::owner_all, error);
  if (error || !fs::is_directory(dir, error)) {
    telemetry::log_warning("serve", "data folder {} cannot be used ({}): nothing is kept over a restart", dir,
                           error ? error.message() : "it is no folder");
    return {};
  }
  return dir;
}

engine::LoaderOptions ServerProcess::loader_options(const std::string& data_dir) const {
  engine::LoaderOptions options{.helper_path = own_path(), .threads = catalog_.server.cores};
  options.on_failed = [this](const std::string& model, const std::string& version, const Error& why) {
    // Unless it has gone meanwhile.
    [[maybe_unused]] const Status marked = manager_->mark_broken({model, version}, why);
  };
  options.conversations.memory = catalog_.limits.conversations;
  options.conversations.disk = catalog_.server.conversations_on_disk;
  for (const engine::ArgMap* args : {&sources_.command_line, &sources_.environment}) {
    for (const auto& arg : *args) {
      if (engine::scope_of(arg.first) == engine::ArgScope::kProcess) options.process_args.insert(arg);
    }
  }
  if (data_dir.empty()) return options;
  options.cache_path = data_dir + "/inspections.sqlite";
  if (state_->is_owner()) options.conversations.folder = data_dir + "/conversations";
  return options;
}

Status ServerProcess::begin_tenants(const std::string& data_dir) {
  tenants_ = std::make_unique<tenants::Tenants>(*state_);
  if (const Status loaded = tenants_->keyring.load(); !loaded) return loaded;
  key_mark_.emplace(data_dir);
  if (tenants_->keyring.is_open() && key_mark_->is_set()) {
    tenants_->keyring.close();
    telemetry::log_error("tenants",
                         "keys were made here and cannot be read: only the server's own are let in "
                         "(--admin-key-file makes one); without {} everybody is",
                         key_mark_->path());
  }
  if (const Status closed = config::check_exposure(catalog_.server, tenant_keys()); !closed) return closed;
  write_usage_ = std::make_unique<http::Periodic>("usage", kWriteUsage, [this] {
    if (!tenants_->keyring.is_open()) key_mark_->set();
    const Status written = tenants_->usage.flush();
    if (written.has_value() != usage_told_) return;
    usage_told_ = !written;
    if (!written) telemetry::log_error("tenants", "usage cannot be written: {}", written.error().to_string());
  });
  return {};
}

config::TenantKeys ServerProcess::tenant_keys() const {
  return tenants_->keyring.is_open() ? config::TenantKeys::kNone : config::TenantKeys::kSome;
}

Status ServerProcess::start_parts(config::Catalog catalog) {
  log_ = events_.subscribe(log_event);
  const std::string dir = prepare_data_dir();
  state_ = std::make_unique<store::StateDatabase>(dir.empty() ? std::string() : dir + "/state.sqlite");
  if (const Status closed = begin_tenants(dir); !closed) return closed;
  registry_ = std::make_unique<registry::Registry>(*state_);
  engines_ = engine::make_loader(loader_options(dir));
  loader_ = registry::guard_loader(*engines_, *registry_);
  for (const engine::ArgMap* args : {&sources_.environment, &sources_.command_line}) {
    if (const Status applied = engine::apply_process_args(*args); !applied) return applied;
  }
  process_routes_ = engines_->process_routes();
  manager_ = std::make_unique<models::Manager>(
      models::Manager::Dependencies{.loader = *loader_, .executor = executor_, .events = events_},
      catalog_.limits);
  switcher_ = std::make_unique<traffic::Switcher>(traffic::Switcher::Dependencies{
      .manager = *manager_, .executor = executor_, .events = events_, .state = *state_});
  canaries_ = std::make_unique<traffic::Canaries>(traffic::Canaries::Dependencies{
      .switcher = *switcher_, .executor = executor_, .events = events_, .state = *state_});
  shadows_ = std::make_unique<traffic::Shadows>(
      traffic::Shadows::Dependencies{.switcher = *switcher_, .events = events_, .state = *state_});
  reloader_ = std::make_unique<Reloader>(
      Reloader::Dependencies{.manager = *manager_,
                             .switcher = *switcher_,
                             .shadows = *shadows_,
                             .registry = *registry_,
                             .events = events_,
                             .tenant_keys = [this] { return tenant_keys(); },
                             .apply_settings = [this](const auto& now) { apply_settings(now); }},
      sources_, std::move(catalog));
  alerting_ = std::make_unique<Alerting>(events_, *manager_, catalog_.server.alerts);
  experimenting_ =
      std::make_unique<Experimenting>(*state_, *switcher_, state_->is_owner() ? dir : std::string());
  monitor_ = std::make_unique<health::Monitor>(health::Monitor::Dependencies{
      .manager = *manager_, .executor = executor_, .events = events_, .random = random_fraction});
  watch_health_ = std::make_unique<http::Periodic>("health", kWatchHealth, [this] { monitor_->tick(); });
  watch_memory(catalog_.server.shed_under_pressure);
  app_ = std::make_unique<http::App>(http::App::Dependencies{.manager = *manager_,
                                                             .events = events_,
                                                             .switcher = *switcher_,
                                                             .canaries = *canaries_,
                                                             .shadows = *shadows_,
                                                             .monitor = *monitor_,
                                                             .tenants = *tenants_,
                                                             .experiments = experimenting_->recorder(),
                                                             .process_routes = process_routes_.get()},
                                     app_options());
  Result<std::unique_ptr<http::Server>> server = http::Server::start(server_options(), app_->handler());
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);

  if (const Status begun = reloader_->begin(); !begun) return begun;
  experimenting_->start();
  loader_->forget_all_but(manager_->versions());
  quarantines_ = std::make_unique<health::Quarantines>(
      health::Quarantines::Dependencies{*manager_, *monitor_, executor_, events_, *state_});
  // The one model of -m is loaded by serve().
  const bool restore = catalog_.server.restore_resident && !catalog_.single_model;
  residents_ = std::make_unique<models::ResidentSet>(
      models::ResidentSet::Dependencies{*manager_, executor_, events_, *state_},
      restore ? models::ResidentSet::Restore::kYes : models::ResidentSet::Restore::kNo);
  note_residents_ = std::make_unique<http::Periodic>("residents", kNoteResidents, [this] {
    residents_->note();
    tell_status();
  });
  begin_to_pulse();
  return {};
}

void ServerProcess::apply_settings(const config::Catalog& catalog) {
  app_->apply(live_settings(catalog, catalog_.server.admin_keys));
  alerting_->apply(catalog.server.alerts);
  watch_memory(catalog.server.shed_under_pressure);
  apply_log_settings(catalog.server);
  shutdown_timeout_ = catalog.server.shutdown_timeout;
}

http::AppOptions ServerProcess::app_options() {
  const config::ServerSettings& server = catalog_.server;
  http::AppOptions options;
  options.settings = live_settings(catalog_, catalog_.server.admin_keys);
  options.single_model = catalog_.single_model;
  options.api_prefix = server.api_prefix;
  options.version = kVersion;
  options.build_info = engine::llama_build_info();
  options.max_calls = server.max_calls;
  options.conversations = [this] { return loader_->conversations(); };
  options.alerts = [this] { return alerting_->report(); };
  options.on_request = [this](const gateway::RequestRecord& record) { alerting_->observe(record); };
  options.reload_config = [this] { return reloader_->reload(); };
  if (!catalog_.single_model) {
    options.reload_catalog = [this]() -> Status {
      const Result<std::string> changes = reloader_->reload();
      if (!changes) return std::unexpected(changes.error());
      return {};
    };
    options.downloads = download_functions(server);
    options.versions = {
        .list = [this](const std::string& model) { return registry_->list(model); },
        .add = [this](const http::NewVersion& version) { return reloader_->add_version(version); },
        .remove = [this](const models::VersionRef& version) { return reloader_->remove_version(version); }};
  }
  return options;
}

void ServerProcess::begin_to_watch() {
  const auto interval = std::chrono::duration_cast<std::chrono::milliseconds>(catalog_.server.watch);
  if (interval <= 0ms) return;
  file_watch_.emplace([this] { return reloader_->stamp(); },
                      // Reloader logs what came of it.
                      [this] { [[maybe_unused]] const auto changes = reloader_->reload(); });
  watching_ = std::make_unique<http::Periodic>("file-watch", interval, [this] { file_watch_->tick(); });
}

void ServerProcess::watch_memory(bool wanted) {
  if (!wanted) return memory_watch_.reset();
  if (memory_watch_ != nullptr) return;
  auto trigger = pressure::make_pressure_trigger(pressure::pressure_file());
  telemetry::log_info("serve", "memory is watched every second{}",
                      trigger->by_kernel() ? ", and by the kernel (PSI)" : "");
  memory_watch_ = std::make_unique<pressure::PressureWatch>(pressure::PressureWatch::Parts{
      .source = pressure::make_memory_source(),
      .trigger = std::move(trigger),
      .shed = [this](ByteSize missing) {
        std::vector<std::string> names;
        for (const models::VersionRef& version : manager_->shed(missing).versions)
          names.push_back(version.to_string());
        return names;
      }});
  memory_watch_->start();
}

void ServerProcess::begin_to_pulse() {
  if (!notifier_.watchdog()) return;
  watchdog_.emplace(
      std::vector<service::Watchdog::Part>{
          {"the event loop", [this](auto done) { server_->pulse(std::move(done)); }},
          {"the model manager", [this](auto done) { manager_->pulse(std::move(done)); }}},
      [this] { notifier_.alive(); });
  const auto interval = std::chrono::floor<std::chrono::milliseconds>(*notifier_.watchdog() / 4);
  pulsing_ = std::make_unique<http::Periodic>("watchdog", interval, [this] { watchdog_->tick(); });
}

void ServerProcess::set_ready() {
  app_->set_ready();
  ready_ = true;
  notifier_.ready();
}

void ServerProcess::tell_status() const {
  if (!notifier_.active()) return;
  const std::vector<models::Resident> residents = manager_->residents();
  const auto hot = std::ranges::count(residents, models::Residency::kHot, &models::Resident::residency);
  notifier_.status(fmt::format("{} models hot, {} parked; {} requests", hot,
                               residents.size() - static_cast<std::size_t>(hot), app_->in_flight()));
}

Result<std::string> ServerProcess::reload() {
  if (!ready_) return reloader_->reload();  // to be told of later
  notifier_.reloading();
  Result<std::string> changes = reloader_->reload();
  notifier_.ready();
  return changes;
}

http::ServerOptions ServerProcess::server_options() const {
  const config::ServerSettings& server = catalog_.server;
  http::ServerOptions options;
  options.hosts = server.hosts;
  options.port = server.port;
  options.reuse_port = server.reuse_port;
  options.tls_key_file = server.tls_key_file;
  options.tls_cert_file = server.tls_cert_file;
  options.max_body = server.max_body;
  options.max_bodies = server.max_bodies;
  options.write_timeout = server.write_timeout;
  options.error_response = &http::App::error_response;
  return options;
}

void ServerProcess::serve(const std::function<void(std::string why)>& failed) {
  if (!catalog_.single_model) {
    begin_to_watch();
    return set_ready();
  }
  // Like llama-server, a one-model server is not healthy before it has its model, and ends without it.
  const std::string& model = catalog_.default_model;
  const models::VersionRef ref = switcher_->resolve(model).value_or(models::VersionRef{model, "1"});
  const Status begun = manager_->load(ref, [this, failed](const Status& loaded) {
    if (loaded)
      set_ready();
    else
      failed(loaded.error().to_string());
  });
  if (!begun) failed(begun.error().to_string());
}

void ServerProcess::stop() {
  notifier_.stopping();
  watching_.reset();
  app_->begin_shutdown();
  manager_->begin_shutdown();
  server_->stop_accepting();
  const auto bound = std::chrono::duration_cast<std::chrono::milliseconds>(shutdown_timeout_.load());
  const auto deadline = std::chrono::steady_clock::now() + bound;
  // Exchanges, too: commands that wait for a load are no calls of an engine.
  const auto left = [&] { return std::max<std::uint64_t>(app_->in_flight(), server_->stats().exchanges); };
  while (left() > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
  if (const std::uint64_t late = left(); late > 0) {
    telemetry::log_warning("serve", "{} requests did not finish in time and are ended", late);
    app_->stop_requests();
  }
  manager_->drain_all(kGiveUp);
  server_->shutdown(kGiveUp);
}

}  // namespace switchyard::cli
