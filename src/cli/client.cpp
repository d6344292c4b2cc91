#include "cli/client.h"

#include <cpp-httplib/httplib.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

namespace switchyard::cli {
namespace {

constexpr std::time_t kConnectSeconds = 5;
constexpr std::time_t kAnswerSeconds = std::time_t{24} * 3600;  // a load or a reply takes as long as it takes

/// The code of that name, or else the first that has this status.
ErrorCode code_of(std::string_view name, int status) {
  std::optional<ErrorCode> by_status;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (to_string(code) == name) return code;
    if (!by_status && http_status(code) == status) by_status = code;
  }
  return by_status.value_or(ErrorCode::kInternal);
}

/// Files end with a line's end, and some with blanks.
std::string without_blanks(const std::string& key) {
  constexpr const char* kBlanks = " \t\r\n";
  const std::size_t begin = key.find_first_not_of(kBlanks);
  return begin == std::string::npos ? std::string()
                                    : key.substr(begin, key.find_last_not_of(kBlanks) + 1 - begin);
}

bool is_sendable(const std::string& key) {
  return std::ranges::none_of(key, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

}  // namespace

Client::Client(const ClientOptions& options) : url_(options.url), api_key_(without_blanks(options.api_key)) {
  while (url_.ends_with('/')) url_.pop_back();
  constexpr std::string_view kUnix = "unix://";
  if (url_.starts_with(kUnix)) {
    http_ = std::make_unique<httplib::Client>(url_.substr(kUnix.size()), 80);
    http_->set_address_family(AF_UNIX);
    http_->set_default_headers({{"Host", "localhost"}});
  } else {
    if (url_.find("://") == std::string::npos) url_.insert(0, "http://");
    const std::size_t path = url_.find('/', url_.find("://") + 3);
    if (path != std::string::npos) prefix_ = url_.substr(path);
    try {
      http_ = std::make_unique<httplib::Client>(url_.substr(0, path));
    } catch (const std::exception&) {
      http_ = nullptr;  // https in a build without it
    }
  }
  if (http_ == nullptr || !http_->is_valid()) {
    http_ = nullptr;
    return;
  }
  http_->set_connection_timeout(kConnectSeconds);
  http_->set_read_timeout(kAnswerSeconds);
  if (!api_key_.empty() && is_sendable(api_key_)) http_->set_bearer_token_auth(api_key_);
}

Client::~Client() = default;

Error Client::no_server(const std::string& cause) const {
  return {ErrorCode::kUnavailable,
          fmt::format("no server at {}: start one with `switchyard serve`, or name it with --url", url_),
          cause};
}

Status Client::check() const {
  if (http_ == nullptr)
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is no URL of a server", url_));
  if (!is_sendable(api_key_)) {
    return fail(ErrorCode::kInvalidArgument,
                "the key (--api-key, SWITCHYARD_API_KEY) has a character that no header can carry");
  }
  return {};
}

Result<std::string> Client::send(std::string_view method, const std::string& path, const Json& body) {
  if (const Status good = check(); !good) return std::unexpected(good.error());
  httplib::Request request;
  request.method = method;
  request.path = prefix_ + path;
  if (!body.is_null()) {
    request.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    request.set_header("Content-Type", "application/json");
  }
  const httplib::Result reply = http_->send(request);
  if (!reply) return std::unexpected(no_server(httplib::to_string(reply.error())));
  if (reply->status >= 400) return std::unexpected(error_of_reply(reply->status, reply->body));
  return reply->body;
}

Result<std::string> Client::text(const std::string& path) { return send("GET", path, nullptr); }

Result<Json> Client::request(std::string_view method, const std::string& path, const Json& body) {
  const Result<std::string> reply = send(method, path, body);
  if (!reply) return std::unexpected(reply.error());
  Json answer = Json::parse(*reply, nullptr, false);
  if (answer.is_discarded()) {
    return fail(ErrorCode::kInternal, fmt::format("{} did not answer as Switchyard does", url_),
                reply->substr(0, 200));
  }
  return answer;
}

Status Client::stream(std::string_view method, const std::string& path, const Json& body,
                      const std::function<bool(const std::string& data)>& on_data) {
  if (const Status good = check(); !good) return good;
  httplib::Request request;
  request.method = method;
  request.path = prefix_ + path;
  if (!body.is_null()) {
    request.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    request.set_header("Content-Type", "application/json");
  }
  int status = 0;
  bool stopped = false;
  std::string error_body;
  SseReader reader;
  request.response_handler = [&](const httplib::Response& head) {
    status = head.status;
    return true;
  };
  request.content_receiver = [&](const char* bytes, std::size_t length, std::size_t, std::size_t) {
    if (status >= 400) {
      error_body.append(bytes, length);
      return error_body.size() < (1U << 20);
    }
    stopped = !reader.feed({bytes, length}, on_data);
    return !stopped;
  };
  const httplib::Result reply = http_->send(request);
  if (status >= 400) return std::unexpected(error_of_reply(status, error_body));
  if (stopped || reply) return {};
  if (status == 0) return std::unexpected(no_server(httplib::to_string(reply.error())));
  return fail(ErrorCode::kUnavailable, "the reply was cut off by the server",
              httplib::to_string(reply.error()));
}

void Client::cancel() {
  if (http_) http_->stop();
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 ||
        std::string_view("-._~").find(static_cast<char>(c)) != std::string_view::npos) {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

Error error_of_reply(int status, std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  std::string message = fmt::format("the server answered with status {}", status), cause, code;
  if (json.is_object() && json.contains("error")) {
    const Json& error = json["error"];
    if (error.is_string()) message = error.get<std::string>();
    if (error.is_object()) {
      const auto text = [&](const char* key, std::string& out) {
        if (error.contains(key) && error[key].is_string()) out = error[key].get<std::string>();
      };
      text("message", message);
      text("cause", cause);
      text("switchyard_code", code);
    }
  }
  if (status == 401) message += "; give the key with --api-key or SWITCHYARD_API_KEY";
  return {code_of(code, status), message, cause};
}

Json error_json(const Error& error) {
  return {{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"cause", error.cause}}}};
}

bool SseReader::feed(std::string_view bytes, const std::function<bool(const std::string&)>& on_data) {
  for (;;) {
    const std::size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return true;
    bytes.remove_prefix(end + 1);
    std::string line = std::exchange(line_, {});
    if (line.ends_with('\r')) line.pop_back();
    if (!line.starts_with("data:")) continue;
    line.erase(0, line.starts_with("data: ") ? 6 : 5);
    if (!on_data(line)) return false;
  }
}

}  // namespace switchyard::cli
