#include "http/app.h"
#include "base/utf8.h"

#include <optional>
#include <utility>

#include "gateway/sampler.h"
#include "http/admin_api.h"
#include "http/alerts_api.h"
#include "http/alias_api.h"
#include "http/auth.h"
#include "http/canary_api.h"
#include "http/cors.h"
#include "http/decorated_exchange.h"
#include "http/downloads.h"
#include "http/errors.h"
#include "http/experiment_api.h"
#include "http/experiment_intake.h"
#include "http/health.h"
#include "http/health_api.h"
#include "http/keys_api.h"
#include "http/metrics_api.h"
#include "http/periodic.h"
#include "http/router_api.h"
#include "http/shadow_api.h"
#include "http/static_routes.h"
#include "http/streams.h"
#include "http/version_api.h"

namespace switchyard::http {
namespace {
constexpr std::chrono::seconds kPingInterval{15};
constexpr std::chrono::milliseconds kLookForOverdue{200};
constexpr std::chrono::milliseconds kDecideOnCanaries{1000};
constexpr std::chrono::milliseconds kBeginCopies{100};
constexpr std::chrono::milliseconds kWriteShadows{1000};

/// Clients of the official libraries show these ids with their errors.
void add_ids(Headers& headers, const RequestLine& line, Dialect dialect) {
  headers["x-request-id"] = line.id();
  if (dialect == Dialect::kAnthropic) headers["request-id"] = line.id();
  headers["traceparent"] = line.trace().traceparent();
}
/// For llama-server's words to the letter, but for Anthropic's clients.
Response no_key(const Error& error, Dialect dialect) {
  return dialect == Dialect::kAnthropic || error.code != ErrorCode::kUnauthenticated
             ? error_reply(error, dialect)
             : error_reply(status_of(error.code), type_of(error.code), error.message);
}
Error no_scope(Access access) {
  const std::string_view scope = access == Access::kInference ? "inference"
                                 : access == Access::kRead    ? "read"
                                                              : "admin";
  return {ErrorCode::kPermissionDenied, "this takes a key with the scope " + std::string(scope)};
}
}  // namespace

class App::Impl {
 public:
  Impl(Dependencies dependencies, AppOptions options)
      : options_(std::move(options)),
        live_(options_.settings),
        health_(dependencies.manager),
        sampler_(dependencies.manager, dependencies.events),
        gateway_(
            {.manager = dependencies.manager,
             .executor = pool_,
             .route = [this](const std::string& name, const std::string& subject,
                             std::function<void(Resolved)> done) { route(name, subject, std::move(done)); },
             .resolve = [this](const std::string& name) { return resolve(name); },
             .fallbacks = [&switcher = dependencies.switcher](
                              const std::string& name) { return switcher.fallbacks(name); },
             .process_routes = dependencies.process_routes,
             .observer = [this](const gateway::RequestRecord& record) { record_request(record); },
             .before_release = [this](const auto& version, auto& engine) { sampler_.read(version, engine); }},
            options_.settings.requests),
        copies_({.gateway = gateway_,
                 .manager = dependencies.manager,
                 .shadows = dependencies.shadows,
                 .executor = pool_}),
        services_{.options = options_,
                  .live = live_,
                  .manager = dependencies.manager,
                  .switcher = dependencies.switcher,
                  .canaries = dependencies.canaries,
                  .shadows = dependencies.shadows,
                  .tenants = dependencies.tenants,
                  .monitor = dependencies.monitor,
                  .experiments = dependencies.experiments,
                  .events = dependencies.events,
                  .gateway = gateway_,
                  .copies = copies_,
                  .executor = pool_},
        event_streams_(dependencies.events, pool_),
        openai_(services_),
        streams_(services_),
        downloads_(services_),
        router_api_(services_, event_streams_, openai_, downloads_),
        metrics_api_(services_, openai_, sampler_, metrics_),
        admin_(services_, event_streams_),
        aliases_(services_),
        canaries_(services_),
        shadows_(services_),
        versions_(services_),
        alerts_(services_),
        experiments_(services_),
        health_api_(services_),
        keys_(services_),
        pool_("engine-call", options_.max_calls),
        ping_("sse-ping", kPingInterval, [this] { event_streams_.ping(); }),
        overdue_("overdue", kLookForOverdue, [this] { gateway_.end_overdue(); }),
        decide_("canaries", kDecideOnCanaries, [this] { services_.canaries.tick(); }),
        copy_("shadows", kBeginCopies, [this] { copies_.tick(); }),
        write_shadows_("shadow-figures", kWriteShadows, [this] { services_.shadows.write(); }),
        sample_("sampler", options_.sample_interval,
                [this] { sampler_.read_all(gateway_.leased_versions()); }) {
    health_.add_routes(router_);
    openai_.add_routes(router_);
    streams_.add_routes(router_);
    router_api_.add_routes(router_);
    admin_.add_routes(router_);
    aliases_.add_routes(router_);
    canaries_.add_routes(router_);
    shadows_.add_routes(router_);
    versions_.add_routes(router_);
    alerts_.add_routes(router_);
    experiments_.add_routes(router_);
    health_api_.add_routes(router_);
    keys_.add_routes(router_);
    metrics_api_.add_routes(router_);
    add_static_routes(router_, options_.version, options_.api_prefix);
  }

  ~Impl() {
    begin_shutdown();
    gateway_.stop_all();
    services_.gate->close();
    gateway_.wait_idle();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void handle(ExchangePtr exchange) {
    const Request& request = exchange->request();
    const std::shared_ptr<const Settings> settings = live_.get();
    const auto line = std::make_shared<RequestLine>(request, settings->log);
    const auto match = find(request);
    std::string path = match ? request.path.substr(options_.api_prefix.size()) : std::string();
    const Dialect dialect = dialect_of(path);
    Headers headers = cors_headers(settings->cors, request.header("Origin"));
    add_ids(headers, *line, dialect);
    exchange = std::make_shared<DecoratedExchange>(std::move(exchange), std::move(headers), line);
    // Browsers send no key with OPTIONS, and nothing is told.
    if (request.method == "OPTIONS") return exchange->respond(cors_preflight(settings->cors));
    const Route* const route = match ? match->route : nullptr;
    if (!health_.ready() && (route == nullptr || route->pattern != "/"))
      return exchange->respond(health_.not_ready());
    const Access access = route == nullptr ? Access::kAnyKey : route->access;
    tenants::KeyPtr key;
    if (access != Access::kKeyless) {
      auto known = authenticate(settings->api_keys, services_.tenants.keyring, request);
      if (!known) return exchange->respond(no_key(known.error(), dialect));
      key = std::move(*known);
      if (key != nullptr) line->asked_by(tenants::name_of(*key));
      if (!allows(access, key)) return exchange->respond(error_reply(no_scope(access), dialect));
    }
    if (route == nullptr) return exchange->respond(error_reply(404, "not_found_error", "File Not Found"));
    if (request.crowded && route->when_crowded == WhenCrowded::kRefuses) {
      return exchange->respond(error_reply(
          {ErrorCode::kUnavailable, "the server has as many connections as it may; try again in a moment"},
          dialect));
    }
    if (const std::string coding = request.header("Content-Encoding");
        !coding.empty() && coding != "identity") {
      return exchange->respond(error_reply(
          415, "invalid_request_error",
          "a body is taken as it is, without Content-Encoding: '" + to_utf8(coding) + "' is not understood"));
    }
    route->handler({std::move(exchange), match->params, std::move(path), line, std::move(key)});
  }

  void apply(Settings settings) {
    gateway_.set_limits(settings.requests);
    live_.set(std::move(settings));
  }
  void set_readiness(Readiness readiness) { health_.set(readiness); }

  void begin_shutdown() {
    health_.set(Readiness::kStopping);
    copies_.stop();  // nobody waits for them
    gateway_.begin_shutdown();
    downloads_.cancel_all();
    event_streams_.close();
  }
  void stop_requests() { gateway_.stop_all(); }
  [[nodiscard]] std::size_t in_flight() const { return gateway_.in_flight(); }
  [[nodiscard]] const Router& router() const { return router_; }

 private:
  using Resolved = Result<models::VersionRef>;

  Resolved resolve(const std::string& name) const {
    Resolved found = services_.switcher.resolve(name);
    if (found) return found;
    if (auto error = downloads_.why_not_ready(name)) return std::unexpected(std::move(*error));
    return found;
  }
  /// What a request for inference means. With --model any name is the one model's, as in llama-server.
  void route(const std::string& name, const std::string& subject, std::function<void(Resolved)> done) const {
    Resolved found = resolve(name);
    if (found) return services_.switcher.route(name, subject, std::move(done));
    if (options_.single_model)
      return services_.switcher.route(live_.get()->default_model, subject, std::move(done));
    done(std::move(found));
  }

  void record_request(const gateway::RequestRecord& record) {
    if (record.tier == gateway::Tier::kBackground) return;  // the server's own: nobody's figure
    metrics_api_.count_request(record);
    services_.canaries.observe(record.name, canary_observation(record));
    note_usage(record);
    if (record.outcome == gateway::Outcome::kAnswered && record.status == 200 &&
        !record.version.model.empty())
      services_.monitor.note_reply(record.version, record.first_byte - record.queued);
    if (const auto observation = observation_of(record)) services_.experiments.observe(*observation);
    if (options_.on_request) options_.on_request(record);
  }

  void note_usage(const gateway::RequestRecord& record) {
    if (record.tenant.empty() || record.version.model.empty()) return;
    services_.tenants.usage.note({.key_id = record.tenant,
                                  .model = record.version.model,
                                  .failed = gateway::failed_by_server(record),
                                  .prompt_tokens = record.tokens.prompt.value_or(0),
                                  .generated_tokens = record.tokens.generated.value_or(0)});
  }

  std::optional<Router::Match> find(const Request& request) const {
    std::string_view path = request.raw_path;
    if (!path.starts_with(options_.api_prefix)) return std::nullopt;
    path.remove_prefix(options_.api_prefix.size());
    return router_.match(request.method, path);
  }

  AppOptions options_;
  LiveSettings live_;
  telemetry::Metrics metrics_;
  Health health_;
  Router router_;
  gateway::Sampler sampler_;
  gateway::Gateway gateway_;
  shadowing::Copies copies_;
  Services services_;
  EventStreams event_streams_;
  OpenAiApi openai_;
  StreamsApi streams_;
  Downloads downloads_;
  RouterApi router_api_;
  MetricsApi metrics_api_;
  AdminApi admin_;
  AliasApi aliases_;
  CanaryApi canaries_;
  ShadowApi shadows_;
  VersionApi versions_;
  AlertsApi alerts_;
  ExperimentApi experiments_;
  HealthApi health_api_;
  KeysApi keys_;
  // After everything that its tasks use: its destructor runs them to their end.
  ThreadPool pool_;
  Periodic ping_;
  Periodic overdue_;
  Periodic decide_;
  Periodic copy_;
  Periodic write_shadows_;
  Periodic sample_;
};

App::App(Dependencies dependencies, AppOptions options)
    : impl_(std::make_unique<Impl>(dependencies, std::move(options))) {}

App::~App() = default;

Handler App::handler() {
  return [impl = impl_.get()](ExchangePtr exchange) { impl->handle(std::move(exchange)); };
}

Response App::error_response(int status, std::string_view what) {
  const std::string_view type = status == 503   ? type_of(ErrorCode::kUnavailable)
                                : status >= 500 ? type_of(ErrorCode::kInternal)
                                                : type_of(ErrorCode::kInvalidArgument);
  return error_reply(status, type, what);
}

void App::apply(Settings settings) { impl_->apply(std::move(settings)); }
void App::set_ready() { impl_->set_readiness(Readiness::kReady); }
void App::begin_shutdown() { impl_->begin_shutdown(); }
void App::stop_requests() { impl_->stop_requests(); }
std::size_t App::in_flight() const { return impl_->in_flight(); }
const std::vector<Route>& App::routes() const { return impl_->router().routes(); }

}  // namespace switchyard::http
