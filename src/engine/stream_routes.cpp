#include "engine/stream_routes.h"

#include <string>
#include <utility>

#include "engine/engine_reply.h"
#include "server-stream.h"

namespace switchyard::engine {
namespace {

class StreamRoutes final : public ProcessRoutes {
 public:
  [[nodiscard]] std::unique_ptr<Reply> handle(Request request) override {
    const std::string route = request.method + ' ' + request.path;
    if (route == "GET /v1/stream") return call_handler(get_, std::move(request), tag_);
    if (route == "DELETE /v1/stream") return call_handler(delete_, std::move(request), tag_);
    if (route == "POST /v1/streams/lookup") return call_handler(lookup_, std::move(request), tag_);
    return not_found_reply();
  }

 private:
  const std::string tag_ = "streams";
  const server_http_context::handler_t get_ = server_stream_make_get_handler();
  const server_http_context::handler_t delete_ = server_stream_make_delete_handler();
  const server_http_context::handler_t lookup_ = server_stream_make_lookup_handler();
};

}  // namespace

std::unique_ptr<ProcessRoutes> make_stream_routes() { return std::make_unique<StreamRoutes>(); }

}  // namespace switchyard::engine
