#include <atomic>

#include "library/chat_text.h"
#include "library/core.h"

namespace switchyard {

Lease::Lease(std::unique_ptr<library::LeaseState> state) : state_(std::move(state)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;

const std::string& Lease::model() const { return state_->name; }

Result<Lease::Reply> Lease::post(std::string_view path, std::string json_body,
                                 const OnChunk& on_chunk) const {
  // Shared, because a resumable stream's engine may ask after this function has returned.
  const auto said_stop = std::make_shared<std::atomic<bool>>(false);
  const std::stop_token revoked = state_->lease.revoked();
  engine::Request request;
  request.method = "POST";
  request.path = path;
  request.headers = {{"Content-Type", "application/json"}};
  request.body = std::move(json_body);
  request.should_stop = [said_stop, revoked] { return said_stop->load() || revoked.stop_requested(); };

  const auto answer = state_->lease.engine().handle(std::move(request));
  Reply reply{.status = answer->status(), .body = {}};
  if (answer->is_stream()) {
    std::string chunk;
    for (bool more = true; more && !said_stop->load();) {
      chunk.clear();
      more = answer->next(chunk);
      if (!on_chunk) {
        reply.body += chunk;
      } else if (!chunk.empty() && !on_chunk(chunk)) {
        said_stop->store(true);
      }
    }
  } else {
    reply.body = answer->take_body();
  }
  if (const Error* const failed = answer->failure()) return std::unexpected(*failed);
  if (said_stop->load()) return fail(ErrorCode::kCancelled, "the reply was stopped by its reader");
  // A handler that was stopped leaves a stream without an end, or no body at all.
  if (revoked.stop_requested() && (answer->is_stream() || reply.body.empty()))
    return fail(ErrorCode::kCancelled, state_->name + " is being unloaded");
  return reply;
}

Result<std::string> Lease::chat(std::string_view prompt, const std::function<void(std::string_view)>& on_text,
                                const ChatOptions& options) const {
  library::ChatText text(on_text);
  auto reply =
      post("/v1/chat/completions", library::chat_request(prompt, options), [&](std::string_view bytes) {
        text.feed(bytes);
        return true;
      });
  if (!reply) return std::unexpected(reply.error());
  if (reply->status != 200) {
    const auto code = reply->status < 500 ? ErrorCode::kInvalidArgument : ErrorCode::kInternal;
    return fail(code, library::error_message(reply->body));
  }
  return std::move(text).result();
}

}  // namespace switchyard
