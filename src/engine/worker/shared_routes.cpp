#include <nlohmann/json.hpp>
#include <utility>

#include "engine/worker/remote_reply.h"
#include "engine/worker/workers.h"

namespace switchyard::engine::worker {
namespace {

using nlohmann::json;

constexpr int kNotFound = 404;

/// A reply whose body is known.
class WholeReply final : public Reply {
 public:
  WholeReply(std::unique_ptr<Reply> like, std::string body)
      : like_(std::move(like)), body_(std::move(body)) {}
  [[nodiscard]] int status() const override { return like_->status(); }
  [[nodiscard]] const std::string& content_type() const override { return like_->content_type(); }
  [[nodiscard]] const std::map<std::string, std::string>& headers() const override {
    return like_->headers();
  }
  [[nodiscard]] bool is_stream() const override { return false; }
  [[nodiscard]] std::string take_body() override { return std::move(body_); }
  bool next(std::string&) override { return false; }

 private:
  const std::unique_ptr<Reply> like_;
  std::string body_;
};

class SharedRoutes final : public ProcessRoutes {
 public:
  SharedRoutes(std::unique_ptr<ProcessRoutes> own, const Workers& workers)
      : own_(std::move(own)), workers_(workers) {}

  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    const auto workers = workers_.living();
    if (workers.empty()) return own_->handle(std::move(request));
    if (request.method == "POST") return look_up(workers, request);
    std::unique_ptr<Reply> reply = own_->handle(request);
    const bool stops = request.method == "DELETE";  // whoever has it
    for (const auto& worker : workers) {
      if (!stops && reply->status() != kNotFound) break;
      auto other = ask(worker, std::nullopt, request);
      if (other->failure() == nullptr) reply = std::move(other);
    }
    return reply;
  }

 private:
  /// The lists of all.
  [[nodiscard]] std::unique_ptr<Reply> look_up(const std::vector<std::shared_ptr<Worker>>& workers,
                                               const Request& request) {
    std::unique_ptr<Reply> reply = own_->handle(request);
    std::string body = reply->take_body();
    json all = json::parse(body, nullptr, false);
    if (!all.is_array()) return std::make_unique<WholeReply>(std::move(reply), std::move(body));
    for (const auto& worker : workers) {
      const json list = json::parse(ask(worker, std::nullopt, request)->take_body(), nullptr, false);
      if (list.is_array()) all.insert(all.end(), list.begin(), list.end());
    }
    return std::make_unique<WholeReply>(std::move(reply),
                                        all.dump(-1, ' ', false, json::error_handler_t::replace));
  }

  const std::unique_ptr<ProcessRoutes> own_;
  const Workers& workers_;
};

}  // namespace

std::unique_ptr<ProcessRoutes> make_shared_routes(std::unique_ptr<ProcessRoutes> own,
                                                  const Workers& workers) {
  return std::make_unique<SharedRoutes>(std::move(own), workers);
}

}  // namespace switchyard::engine::worker
