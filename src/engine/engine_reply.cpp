#include "engine/engine_reply.h"

#include <new>
#include <stdexcept>
#include <utility>

#include "engine/api/token_tally.h"
#include "engine/bridge.h"
#include "engine/task_owner.h"
#include "server-common.h"

namespace switchyard::engine {
namespace {

/// Keeps request, stop function and handler's response alive together; the handler's response refers to both.
class ServerReply final : public Reply {
 public:
  ServerReply(Request request, std::string tag)
      : stop_(std::move(request.should_stop)),
        request_{std::move(request.params),
                 std::move(request.headers),
                 std::move(request.path),
                 std::move(request.query_string),
                 std::move(request.body),
                 to_files(std::move(request.files)),
                 stop_},
        tag_(std::move(tag)),
        owner_(std::move(request.owner)),
        asker_(std::move(request.asker)) {}

  ~ServerReply() override {
    const LogTag log(tag_);
    // A resumable stream goes on into its buffer here, after the client has gone.
    if (response_ != nullptr) response_->on_complete();
    response_.reset();
  }
  ServerReply(const ServerReply&) = delete;
  ServerReply& operator=(const ServerReply&) = delete;

  void run(const server_http_context::handler_t& handler) {
    const LogTag log(tag_);
    const TaskOwnerScope owner(owner_, asker_);
    error_type type = ERROR_TYPE_SERVER;
    std::string message;
    try {
      response_ = handler(request_);
      if (blames_request_for_memory()) answer(ERROR_TYPE_UNAVAILABLE, kNoMemory);
      // What was refused, even after it was asked for, has cost nothing.
      if (const TokenTally& tally = TaskOwnerScope::tally(); tally.replies > 0 && response_->status == 200)
        response_->headers[kTokensHeader] = to_text(tally);
      return;
    } catch (const std::bad_alloc&) {
      type = ERROR_TYPE_UNAVAILABLE;
      message = kNoMemory;
    } catch (const std::invalid_argument& e) {
      type = ERROR_TYPE_INVALID_REQUEST;
      message = e.what();
    } catch (const std::exception& e) {
      message = e.what();
    } catch (...) {
      message = "unknown error";
    }
    answer(type, message);
  }

  [[nodiscard]] int status() const override { return response_->status; }
  [[nodiscard]] const std::string& content_type() const override { return response_->content_type; }
  [[nodiscard]] const std::map<std::string, std::string>& headers() const override {
    return response_->headers;
  }
  [[nodiscard]] bool is_stream() const override { return response_->is_stream(); }
  [[nodiscard]] std::string take_body() override { return std::move(response_->data); }
  bool next(std::string& chunk) override {
    const LogTag log(tag_);
    chunk.clear();
    return response_->next(chunk);
  }

 private:
  static constexpr const char* kNoMemory = "there is no memory left for this request; try again later";

  /// llama.cpp blames the request for whatever stops it from being begun.
  [[nodiscard]] bool blames_request_for_memory() const {
    if (response_->status != 400) return false;
    const json error = json_value(json::parse_no_throw(response_->data), "error", json::object());
    return json_value(error, "message", std::string()).ends_with("std::bad_alloc");
  }
  void answer(error_type type, const std::string& message) {
    response_ = std::make_unique<server_http_res>();
    const json error = format_error_response(message, type);
    response_->status = json_value(error, "code", 500);
    response_->data = safe_json_to_str({{"error", error}});
  }

  static std::map<std::string, uploaded_file> to_files(std::map<std::string, UploadedFile> files) {
    std::map<std::string, uploaded_file> out;
    for (auto& [name, file] : files) {
      out[name] = {.data = std::move(file.data),
                   .filename = std::move(file.filename),
                   .content_type = std::move(file.content_type)};
    }
    return out;
  }

  const std::function<bool()> stop_;
  const server_http_req request_;
  const std::string tag_;
  const std::string owner_;
  const std::string asker_;
  server_http_res_ptr response_;
};

}  // namespace

std::unique_ptr<Reply> call_handler(const server_http_context::handler_t& handler, Request request,
                                    const std::string& tag) {
  auto reply = std::make_unique<ServerReply>(std::move(request), tag);
  reply->run(handler);
  return reply;
}

std::unique_ptr<Reply> not_found_reply() {
  const server_http_context::handler_t handler = [](const server_http_req&) {
    auto response = std::make_unique<server_http_res>();
    response->status = 404;
    response->data = R"({"error":{"message":"File Not Found","type":"not_found_error","code":404}})";
    return response;
  };
  return call_handler(handler, Request{}, "");
}

}  // namespace switchyard::engine
