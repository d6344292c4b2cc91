#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "http/server.h"

namespace switchyard::http {

/// How the end of a reply's body is told to the client, and what becomes of the connection.
struct Framing {
  bool chunked = false;
  std::optional<std::size_t> content_length;
  bool close = false;              ///< adds "Connection: close"
  bool http10_keep_alive = false;  ///< adds "Connection: keep-alive", which a 1.0 client needs to see
};

/// The head of `response` up to the empty line, as it goes over the wire. Header names that are not
/// tokens are left out and line breaks in values become spaces, so that no value can end the head.
[[nodiscard]] std::string response_head(const Response& response, const Framing& framing);

/// False for 1xx, 204 and 304.
[[nodiscard]] bool status_allows_body(int status);

/// True when the handler asks for the end of the connection with a header of its own.
[[nodiscard]] bool asks_to_close(const Response& response);

}  // namespace switchyard::http
