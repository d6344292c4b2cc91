#include "http/errors.h"

#include "http/body_routing.h"

namespace switchyard::http {

Result<Json> parse_object(std::string_view text) {
  if (const auto readable = route_control_body(text); !readable) return std::unexpected(readable.error());
  return Json::parse(text, nullptr, false);
}

int status_of(ErrorCode code) { return code == ErrorCode::kCancelled ? 503 : http_status(code); }

namespace {

std::string_view openai_type(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConflict:
    case ErrorCode::kTooLarge: return "invalid_request_error";
    case ErrorCode::kUnauthenticated: return "authentication_error";
    case ErrorCode::kPermissionDenied: return "permission_error";
    case ErrorCode::kNotFound: return "not_found_error";
    case ErrorCode::kOverloaded: return "rate_limit_error";
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

/// Where Anthropic has another word.
std::string_view anthropic_type(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTooLarge: return "request_too_large";
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable: return "overloaded_error";
    case ErrorCode::kTimeout: return "timeout_error";
    case ErrorCode::kUnimplemented:
    case ErrorCode::kCorruptFile:
    case ErrorCode::kUnsupportedArchitecture:
    case ErrorCode::kDoesNotFit:
    case ErrorCode::kInternal: return "api_error";
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConflict:
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kNotFound:
    case ErrorCode::kOverloaded: return openai_type(code);
  }
  return "api_error";
}

/// A status that clients take for one that may pass, where it will not.
bool is_in_vain(ErrorCode code) {
  return code == ErrorCode::kDoesNotFit || code == ErrorCode::kUnimplemented;
}

}  // namespace

Dialect dialect_of(std::string_view path) {
  return path.starts_with("/v1/messages") ? Dialect::kAnthropic : Dialect::kOpenAi;
}

std::string_view type_of(ErrorCode code, Dialect dialect) {
  return dialect == Dialect::kAnthropic ? anthropic_type(code) : openai_type(code);
}

Json error_object(const Error& error, Dialect dialect) {
  return {{"code", status_of(error.code)},
          {"message", error.to_string()},
          {"type", type_of(error.code, dialect)},
          {"switchyard_code", to_string(error.code)}};
}

Json error_body(const Error& error, Dialect dialect) {
  Json body{{"error", error_object(error, dialect)}};
  if (dialect == Dialect::kAnthropic) body["type"] = "error";
  return body;
}

Response error_reply(const Error& error, Dialect dialect) {
  Response reply = json_reply(error_body(error, dialect), status_of(error.code));
  const int status = reply.status;
  if (status == 429 || status == 503 || status == 504) reply.headers.emplace("Retry-After", "1");
  if (is_in_vain(error.code)) reply.headers.emplace("x-should-retry", "false");
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
