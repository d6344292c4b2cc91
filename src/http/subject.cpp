#include "http/subject.h"

#include "base/header_name.h"
#include "http/auth.h"
#include "traffic/shares.h"

namespace switchyard::http {
namespace {

constexpr std::size_t kLongestName = 256;

}  // namespace

std::string subject_of(const Request& request, std::string_view sticky_header, std::string_view user,
                       std::string_view key_id, std::string_view request_id) {
  if (!sticky_header.empty()) {
    if (const std::string value = request.header(sticky_header); !value.empty()) return "header:" + value;
  }
  if (!user.empty()) return "user:" + std::string(user);
  if (!key_id.empty()) return "key:" + std::string(key_id);
  if (const std::string secret = presented_secret(request); !secret.empty())
    return "key:" + std::to_string(traffic::place_of("key", secret));
  if (const std::string conversation = request.header("X-Conversation-Id"); !conversation.empty())
    return "conversation:" + conversation;
  return "request:" + std::string(request_id);
}

Result<std::optional<std::string>> read_sticky(const Json& body) {
  const auto sticky = body.find("sticky");
  if (sticky == body.end()) return std::optional<std::string>();
  const bool is_header = sticky->is_object() && sticky->size() == 1 && sticky->contains("header") &&
                         sticky->at("header").is_string();
  if (!is_header)
    return fail(ErrorCode::kInvalidArgument, "'sticky' must be {\"header\": \"the name of a header\"}");
  auto header = sticky->at("header").get<std::string>();
  if (!is_header_name(header) || header.size() > kLongestName)
    return fail(ErrorCode::kInvalidArgument, "'sticky' names no header that a request may have");
  return std::optional(std::move(header));
}

}  // namespace switchyard::http
