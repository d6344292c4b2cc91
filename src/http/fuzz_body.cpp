#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/body_fields.h"
#include "http/request_timeout.h"
#include "http/token_counter.h"
#include "http/trace_context.h"

// libFuzzer: what the administration's paths read of bodies, and all paths of headers and replies. Any bytes
// are a value within its bounds or an error.

namespace {

using namespace switchyard;
using namespace switchyard::http;

class BodyOnly final : public Exchange {
 public:
  explicit BodyOnly(std::string body) { request_.body = std::move(body); }
  [[nodiscard]] const Request& request() const override { return request_; }
  void respond(Response) override {}
  void start_stream(Response) override {}
  bool write(std::string) override { return true; }
  void when_writable(std::function<void()>) override {}
  void finish() override {}
  void abort() override {}
  [[nodiscard]] bool client_gone() const override { return false; }
  void on_client_gone(std::function<void()>) override {}

 private:
  Request request_;
};

void require(bool holds) {
  if (!holds) std::abort();
}

bool within_a_year(const std::optional<Duration>& duration) {
  return !duration || (*duration >= Duration::zero() && *duration <= std::chrono::hours(24 * 365));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const RouteCall call{.exchange = std::make_shared<BodyOnly>(text), .path_params = {}, .path = {}};
  if (const auto body = read_body(call, {"to", "wait", "drain_timeout"})) {
    require(body->is_object() && body->size() <= 3);
    (void)read_wait(*body);
    if (const auto to = read_text(*body, "to"); to && *to) require(body->contains("to"));
    if (const auto timeout = read_duration(*body, "drain_timeout")) require(within_a_year(*timeout));
  }
  require(within_a_year(parse_duration(text)));
  for (const char* name : {"x-request-timeout", "x-stainless-read-timeout"}) {
    const auto patience = request_timeout({{name, text}});
    require(!patience || within_a_year(*patience));
  }
  const auto context = begin_span(text);
  require(parse_traceparent(context.traceparent()).has_value());
  const std::string id = request_id(text);
  require(!id.empty() && id.size() <= 128 && id.find_first_of("\r\n \"") == std::string::npos);
  TokenCounter().see(text);
  return 0;
}
