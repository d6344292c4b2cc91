#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/api/engine.h"
#include "server-http.h"

namespace switchyard::engine {

/// Calls one of llama-server's handlers and owns what it needs for as long as its reply lives.
/// `tag` names the engine in log lines. Exceptions of the handler become llama-server's error
/// replies, as its ex_wrapper makes them.
[[nodiscard]] std::unique_ptr<Reply> call_handler(const server_http_context::handler_t& handler,
                                                  Request request, const std::string& tag);

/// llama-server's answer for a path that it does not have.
[[nodiscard]] std::unique_ptr<Reply> not_found_reply();

}  // namespace switchyard::engine
