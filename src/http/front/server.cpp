#include "http/server.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "http/front/connection.h"
#include "http/front/front.h"
#include "http/front/listener.h"
#include "http/front/tls.h"
#include "http/front/transport.h"

namespace switchyard::http {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSweep{500};     // how late a timeout may come
constexpr std::chrono::milliseconds kFarewell{300};  // for clients to see that we close, in shutdown()

/// A connection costs a descriptor; the default soft limit of 1024 is for programs that use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

class FrontServer final : public Server {
 public:
  FrontServer(ServerOptions options, Handler handler, std::unique_ptr<asio::ssl::context> tls, Bound bound)
      : tls_(std::move(tls)), port_(bound.port), sweep_(front_.loop) {
    front_.room = connection_room(options.descriptors > 0 ? options.descriptors : descriptor_limit());
    front_.bodies = std::make_shared<BodyBudget>(std::max(options.max_bodies, options.max_body));
    front_.options = std::move(options);
    front_.handler = std::move(handler);
    for (auto& socket : bound.sockets) {
      const std::string scheme = socket.is_unix() ? "unix" : tls_ ? "https" : "http";
      addresses_.push_back(fmt::format("{}://{}", scheme, socket.address()));
      listeners_.push_back(std::make_shared<Listener>(
          front_.loop, std::move(socket),
          [this](Socket accepted, std::string remote) { serve(std::move(accepted), std::move(remote)); }));
      listeners_.back()->start();
    }
    sweep();
    thread_ = std::thread([this] { front_.loop.run(); });
    ::pthread_setname_np(thread_.native_handle(), "http");
  }

  ~FrontServer() override {
    asio::post(front_.loop, [this] {
      stop_on_loop();
      sweep_.cancel();
      close_all();
      work_.reset();
    });
    // With every socket closed the loop runs out of work by itself.
    thread_.join();
  }

  [[nodiscard]] std::vector<std::string> addresses() const override { return addresses_; }
  [[nodiscard]] std::uint16_t port() const override { return port_; }

  void stop_accepting() override {
    on_loop([this] { stop_on_loop(); });
  }

  bool shutdown(std::chrono::milliseconds bound) override {
    const auto end = steady_clock::now() + bound;
    stop_accepting();
    const bool answered = wait_until(end, [this]() REQUIRES(front_.mutex) { return front_.busy == 0; });
    wait_until(std::min(end, steady_clock::now() + kFarewell),
               [this]() REQUIRES(front_.mutex) { return front_.open == 0; });
    on_loop([this] { close_all(); });
    return answered;
  }

  void pulse(std::function<void()> done) override { asio::post(front_.loop, std::move(done)); }

  [[nodiscard]] Stats stats() const override {
    Stats stats;
    stats.requests = front_.requests.load(std::memory_order_relaxed);
    stats.exchanges = front_.exchanges.load(std::memory_order_relaxed);
    const MutexLock lock(front_.mutex);
    stats.connections = front_.open;
    return stats;
  }

 private:
  /// Too many are there already: one that does nothing makes room, and where there is none such the new one
  /// is for a short answer only. The last resort is to drop it.
  void serve(Socket socket, std::string remote) {
    const bool crowded = front_.connections.size() >= front_.room.ordinary && !close_dispensable();
    if (front_.connections.size() >= front_.room.ordinary + front_.room.crowded) return;
    const auto connection = tls_ ? make_tls_connection(front_, std::move(socket), std::move(remote), *tls_)
                                 : make_plain_connection(front_, std::move(socket), std::move(remote));
    if (crowded) connection->mark_crowded();
    connection->start();
  }

  bool close_dispensable() {
    const auto now = steady_clock::now();
    std::shared_ptr<Connection> least;
    std::optional<Connection::Standing> standing_of_least;
    for (const auto& connection : front_.connections) {
      const auto standing = connection->dispensable(now);
      if (!standing || (standing_of_least && *standing_of_least <= *standing)) continue;
      if (connection->has_unread()) continue;  // asks the system: only where it counts
      standing_of_least = standing;
      least = connection;
    }
    if (least == nullptr) return false;
    least->close();
    return true;
  }

  /// Runs `task` on the loop and waits for it.
  template <class Task>
  void on_loop(Task task) {
    std::promise<void> done;
    asio::post(front_.loop, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  template <class Condition>
  bool wait_until(steady_clock::time_point end, Condition condition) NO_THREAD_SAFETY_ANALYSIS {
    const MutexLock lock(front_.mutex);
    while (!condition()) {
      if (!front_.changed.wait_until(front_.mutex, end)) return condition();
    }
    return true;
  }

  void stop_on_loop() {
    front_.stopping = true;
    listeners_.clear();
    // Replies that come from now on say that they are the last ones, before any client sees a close.
    for_each([](Connection& connection) { connection.mark_last(); });
    for_each([](Connection& connection) { connection.stop(); });
  }

  void close_all() {
    for_each([](Connection& connection) { connection.close(); });
  }

  /// What is done to a connection may take it, or another, out of the set.
  template <class Action>
  void for_each(Action action) {
    const std::vector<std::shared_ptr<Connection>> all(front_.connections.begin(), front_.connections.end());
    for (const auto& connection : all) action(*connection);
  }

  void sweep() {
    sweep_.expires_after(kSweep);
    sweep_.async_wait([this](boost::system::error_code ec) {
      if (ec) return;
      const auto now = steady_clock::now();
      for_each([now](Connection& connection) { connection.check_deadlines(now); });
      sweep();
    });
  }

  const std::unique_ptr<asio::ssl::context> tls_;
  const std::uint16_t port_;
  mutable Front front_;
  std::vector<std::string> addresses_;
  std::vector<std::shared_ptr<Listener>> listeners_;  ///< loop thread
  asio::steady_timer sweep_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{front_.loop.get_executor()};
  std::thread thread_;
};

}  // namespace

Response Front::error_response(int status, std::string_view what) const {
  if (options.error_response) return options.error_response(status, what);
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::string(what) + "\n"};
}

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Handler handler) {
  std::unique_ptr<asio::ssl::context> tls;
  if (!options.tls_key_file.empty() || !options.tls_cert_file.empty()) {
    auto loaded = load_tls(options.tls_key_file, options.tls_cert_file);
    if (!loaded) return std::unexpected(loaded.error());
    tls = std::move(*loaded);
  }
  raise_descriptor_limit();
  auto bound = bind_all(options);
  if (!bound) return std::unexpected(bound.error());
  return std::make_unique<FrontServer>(std::move(options), std::move(handler), std::move(tls),
                                       std::move(*bound));
}

}  // namespace switchyard::http
