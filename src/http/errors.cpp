#include "http/errors.h"

#include "http/body_routing.h"

namespace switchyard::http {

Result<Json> parse_object(std::string_view text) {
  if (const auto readable = route_control_body(text); !readable) return std::unexpected(readable.error());
  return Json::parse(text, nullptr, false);
}

int status_of(ErrorCode code) { return code == ErrorCode::kCancelled ? 503 : http_status(code); }

std::string_view type_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConflict:
    case ErrorCode::kTooLarge: return "invalid_request_error";
    case ErrorCode::kUnauthenticated: return "authentication_error";
    case ErrorCode::kPermissionDenied: return "permission_error";
    case ErrorCode::kNotFound: return "not_found_error";
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
    case ErrorCode::kTimeout: return "unavailable_error";
    case ErrorCode::kUnimplemented: return "not_supported_error";
    case ErrorCode::kCorruptFile:
    case ErrorCode::kUnsupportedArchitecture:
    case ErrorCode::kDoesNotFit:
    case ErrorCode::kInternal: return "server_error";
  }
  return "server_error";
}

Json error_object(const Error& error) {
  return {{"code", status_of(error.code)},
          {"message", error.to_string()},
          {"type", type_of(error.code)},
          {"switchyard_code", to_string(error.code)}};
}

Response error_reply(const Error& error) {
  Response reply = json_reply({{"error", error_object(error)}}, status_of(error.code));
  if (reply.status == 503 || reply.status == 504) reply.headers.emplace("Retry-After", "1");
  return reply;
}

Response error_reply(int status, std::string_view type, std::string_view message) {
  Response reply = json_reply({{"error", {{"code", status}, {"message", message}, {"type", type}}}}, status);
  if (status == 503) reply.headers.emplace("Retry-After", "1");
  return reply;
}

Response json_reply(const Json& body, int status) {
  Response reply;
  reply.status = status;
  reply.body = to_text(body);
  return reply;
}

}  // namespace switchyard::http
