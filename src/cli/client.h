#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "switchyard/result.h"

namespace httplib {
class Client;
}

namespace switchyard::cli {

using Json = nlohmann::ordered_json;

struct ClientOptions {
  std::string url = "http://127.0.0.1:8080";  ///< also https://..., unix:///path/to.sock, and a path prefix
  std::string api_key;
};

/// Talks to a running server. One thread at a time, but cancel() from any. Errors of every method:
/// kUnavailable when no server answers (saying how to start one), the server's own error with its
/// message, kInvalidArgument for a URL that is none.
class Client {
 public:
  explicit Client(const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Waits for the answer as long as it takes. An empty `body` sends none.
  [[nodiscard]] Result<Json> request(std::string_view method, const std::string& path,
                                     const Json& body = nullptr);
  /// GET of what is no JSON, as it comes.
  [[nodiscard]] Result<std::string> text(const std::string& path);
  /// A reply that is Server-Sent Events: `on_data` gets what follows each "data: " and says whether to
  /// go on. An error frame inside is an error.
  [[nodiscard]] Status stream(std::string_view method, const std::string& path, const Json& body,
                              const std::function<bool(const std::string& data)>& on_data);
  /// Ends a request in progress on another thread.
  void cancel();

 private:
  [[nodiscard]] Result<std::string> send(std::string_view method, const std::string& path, const Json& body);
  [[nodiscard]] Status check() const;
  [[nodiscard]] Error no_server(const std::string& cause) const;

  std::string url_;
  std::string prefix_;
  std::string api_key_;
  std::unique_ptr<httplib::Client> http_;
};

/// Everything but letters, digits and -._~ as %XX: for one segment of a path.
[[nodiscard]] std::string percent_encode(std::string_view text);

/// The error that a reply's body tells: llama-server's {"error": {"message": ...}} with our own code in
/// "switchyard_code", else what its status says.
[[nodiscard]] Error error_of_reply(int status, std::string_view body);

/// How every command writes an error with --json: {"error": {"code", "message", "cause"}}.
[[nodiscard]] Json error_json(const Error& error);

/// Cuts a stream into the "data: " lines of its frames, whatever the pieces it comes in.
class SseReader {
 public:
  /// False as soon as `on_data` says so.
  bool feed(std::string_view bytes, const std::function<bool(const std::string&)>& on_data);

 private:
  std::string line_;
};

}  // namespace switchyard::cli
