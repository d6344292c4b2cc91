#include "http/app.h"

#include <optional>
#include <utility>

#include "gateway/sampler.h"
#include "http/admin_api.h"
#include "http/alias_api.h"
#include "http/auth.h"
#include "http/cors.h"
#include "http/decorated_exchange.h"
#include "http/downloads.h"
#include "http/errors.h"
#include "http/health.h"
#include "http/metrics_api.h"
#include "http/periodic.h"
#include "http/router_api.h"
#include "http/static_routes.h"
#include "http/streams.h"
#include "http/version_api.h"

namespace switchyard::http {
namespace {
constexpr std::chrono::seconds kPingInterval{15};
}

class App::Impl {
 public:
  Impl(Dependencies dependencies, AppOptions options)
      : options_(std::move(options)),
        live_(options_.settings),
        sampler_(dependencies.manager, dependencies.events),
        gateway_({.manager = dependencies.manager,
                  .executor = pool_,
                  .route = [this](const std::string& name,
                                  std::function<void(Resolved)> done) { route(name, std::move(done)); },
                  .resolve = [this](const std::string& name) { return resolve(name); },
                  .process_routes = dependencies.process_routes,
                  .observer = [this](const gateway::RequestRecord& record) { record_request(record); },
                  .before_release = [this](const auto& version,
                                           auto& engine) { sampler_.read(version, engine); }}),
        services_{.options = options_,
                  .live = live_,
                  .manager = dependencies.manager,
                  .switcher = dependencies.switcher,
                  .events = dependencies.events,
                  .gateway = gateway_,
                  .executor = pool_},
        event_streams_(dependencies.events, pool_),
        openai_(services_),
        streams_(services_),
        downloads_(services_),
        router_api_(services_, event_streams_, openai_, downloads_),
        metrics_api_(services_, openai_, sampler_, metrics_),
        admin_(services_, event_streams_),
        aliases_(services_),
        versions_(services_),
        pool_("engine-call", options_.max_calls),
        ping_("sse-ping", kPingInterval, [this] { event_streams_.ping(); }),
        sample_("sampler", options_.sample_interval,
                [this] { sampler_.read_all(gateway_.leased_versions()); }) {
    health_.add_routes(router_);
    openai_.add_routes(router_);
    streams_.add_routes(router_);
    router_api_.add_routes(router_);
    admin_.add_routes(router_);
    aliases_.add_routes(router_);
    versions_.add_routes(router_);
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
    exchange = std::make_shared<DecoratedExchange>(std::move(exchange),
                                                   cors_headers(settings->cors, request.header("Origin")));
    // Browsers send no key with OPTIONS, and nothing is told.
    if (request.method == "OPTIONS") return exchange->respond(cors_preflight(settings->cors));
    const auto match = find(request);
    const Access access = match && match->route != nullptr ? match->route->access : Access::kKeyed;
    const bool is_front_page = match && match->route != nullptr && match->route->pattern == "/";
    if (!health_.ready() && !is_front_page) return exchange->respond(health_.not_ready());
    if (access == Access::kKeyed && !allows(settings->api_keys, request)) {
      return exchange->respond(error_reply(401, "authentication_error", "Invalid API Key"));
    }
    if (!match || match->route == nullptr) {
      return exchange->respond(error_reply(404, "not_found_error", "File Not Found"));
    }
    std::string path = request.path.substr(options_.api_prefix.size());
    match->route->handler({std::move(exchange), match->params, std::move(path)});
  }

  void apply(Settings settings) { live_.set(std::move(settings)); }
  void set_readiness(Readiness readiness) { health_.set(readiness); }

  void begin_shutdown() {
    health_.set(Readiness::kStopping);
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
  void route(const std::string& name, std::function<void(Resolved)> done) const {
    Resolved found = resolve(name);
    if (found) return services_.switcher.route(name, std::move(done));
    if (options_.single_model) return services_.switcher.route(live_.get()->default_model, std::move(done));
    done(std::move(found));
  }

  void record_request(const gateway::RequestRecord& record) {
    metrics_api_.count_request(record);
    if (options_.on_request) options_.on_request(record);
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
  Services services_;
  EventStreams event_streams_;
  OpenAiApi openai_;
  StreamsApi streams_;
  Downloads downloads_;
  RouterApi router_api_;
  MetricsApi metrics_api_;
  AdminApi admin_;
  AliasApi aliases_;
  VersionApi versions_;
  // After everything that its tasks use: its destructor runs them to their end.
  ThreadPool pool_;
  Periodic ping_;
  Periodic sample_;
};

App::App(Dependencies dependencies, AppOptions options)
    : impl_(std::make_unique<Impl>(dependencies, std::move(options))) {}

App::~App() = default;

Handler App::handler() {
  return [impl = impl_.get()](ExchangePtr exchange) { impl->handle(std::move(exchange)); };
}

Response App::error_response(int status, std::string_view what) {
  const bool mine = status >= 500;
  return error_reply(status, mine ? "server_error" : "invalid_request_error", what);
}

void App::apply(Settings settings) { impl_->apply(std::move(settings)); }
void App::set_ready() { impl_->set_readiness(Readiness::kReady); }
void App::begin_shutdown() { impl_->begin_shutdown(); }
void App::stop_requests() { impl_->stop_requests(); }
std::size_t App::in_flight() const { return impl_->in_flight(); }
const std::vector<Route>& App::routes() const { return impl_->router().routes(); }

}  // namespace switchyard::http
