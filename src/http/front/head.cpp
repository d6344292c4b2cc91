#include "http/front/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>
#include <cctype>
#include <iterator>

namespace switchyard::http {
namespace {

bool is_token(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

/// Fields that frame the message are ours to write.
bool is_framing(std::string_view name) {
  using boost::beast::iequals;
  return iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding") ||
         iequals(name, "Connection") || iequals(name, "Keep-Alive");
}

void add_line(std::string& head, std::string_view name, std::string value) {
  if (!is_token(name)) return;
  // Clients refuse a whole reply for a control character in a field; line ends would begin another one.
  const auto is_control = [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; };
  std::replace_if(value.begin(), value.end(), is_control, ' ');
  fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
}

}  // namespace

bool status_allows_body(int status) { return status >= 200 && status != 204 && status != 304; }

bool asks_to_close(const Response& response) {
  const auto it = response.headers.find("Connection");
  return it != response.headers.end() && boost::beast::iequals(it->second, "close");
}

std::string response_head(const Response& response, const Framing& framing) {
  std::string_view reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  if (reason.starts_with('<')) reason = "Unassigned";  // what Beast says of 499 and the like
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason);
  if (!response.headers.contains("Server")) head += "Server: switchyard\r\n";
  if (!response.content_type.empty() && status_allows_body(response.status) &&
      !response.headers.contains("Content-Type")) {
    add_line(head, "Content-Type", response.content_type);
  }
  for (const auto& [name, value] : response.headers) {
    if (!is_framing(name)) add_line(head, name, value);
  }
  if (framing.chunked) head += "Transfer-Encoding: chunked\r\n";
  if (framing.content_length) {
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", *framing.content_length);
  }
  if (framing.close) {
    head += "Connection: close\r\n";
  } else if (framing.http10_keep_alive) {
    head += "Connection: keep-alive\r\n";
  }
  head += "\r\n";
  return head;
}

}  // namespace switchyard::http
