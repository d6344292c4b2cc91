#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "switchyard/result.h"
#include "webhook/sender.h"

namespace switchyard::webhook {

/// POSTs to one http:// or https:// address. Errors of post(): kUnavailable where no answer came within
/// `timeout`.
[[nodiscard]] std::unique_ptr<Post> make_http_post(const std::string& url, std::chrono::milliseconds timeout);

}  // namespace switchyard::webhook
