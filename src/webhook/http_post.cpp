#include "webhook/http_post.h"

#include <cpp-httplib/httplib.h>

#include <algorithm>
#include <utility>

namespace switchyard::webhook {
namespace {

class HttpPost final : public Post {
 public:
  HttpPost(const std::string& url, std::chrono::milliseconds timeout) {
    const std::size_t path = url.find('/', url.find("://") + 3);
    path_ = path == std::string::npos ? "/" : url.substr(path);
    client_ = std::make_unique<httplib::Client>(url.substr(0, path));
    client_->set_connection_timeout(timeout);
    client_->set_read_timeout(timeout);
    client_->set_write_timeout(timeout);
    client_->set_max_timeout(timeout);
  }

  Result<int> post(const Headers& headers, const std::string& body) override {
    httplib::Headers sent;
    for (const auto& [name, value] : headers) sent.emplace(name, value);
    const httplib::Result reply = client_->Post(path_, sent, body, "application/json");
    if (!reply) {
      return fail(ErrorCode::kUnavailable, "the webhook's receiver did not answer",
                  httplib::to_string(reply.error()));
    }
    return reply->status;
  }

  void cancel() override { client_->stop(); }

 private:
  std::string path_;
  std::unique_ptr<httplib::Client> client_;
};

}  // namespace

std::unique_ptr<Post> make_http_post(const std::string& url, std::chrono::milliseconds timeout) {
  return std::make_unique<HttpPost>(url, timeout);
}

}  // namespace switchyard::webhook
