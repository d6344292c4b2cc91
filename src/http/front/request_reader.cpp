#include "http/front/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <cctype>
#include <utility>

#include "http/front/target.h"

namespace switchyard::http {
namespace {

namespace beast = boost::beast;
using beast::http::error;

/// A string body that does not believe Content-Length: memory grows with what has really come.
struct ArrivedBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(beast::http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>& length, beast::error_code& ec) {
      constexpr std::uint64_t kReserve = 1 << 20;
      if (length) body_.reserve(static_cast<std::size_t>(std::min(*length, kReserve)));
      ec = {};
    }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, beast::error_code& ec) {
      std::size_t taken = 0;
      for (const boost::asio::const_buffer part : beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(part.data()), part.size());
        taken += part.size();
      }
      ec = {};
      return taken;
    }
    void finish(beast::error_code& ec) { ec = {}; }

   private:
    value_type& body_;
  };
};

bool is_token_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

void add_header(Headers& headers, std::string name, std::string_view value) {
  const auto [it, added] = headers.try_emplace(std::move(name), value);
  if (added) return;
  // One field sent in several lines is one list (RFC 9110, 5.3); cookies have their own separator.
  it->second += beast::iequals(it->first, "cookie") ? "; " : ", ";
  it->second += value;
}

}  // namespace

struct RequestReader::Parser {
  beast::http::request_parser<ArrivedBody> beast;
};

RequestReader::RequestReader(ByteSize max_header, ByteSize max_body)
    : max_header_(max_header), parser_(std::make_unique<Parser>()) {
  parser_->beast.eager(false);  // stop behind the head: a trailer must not look like a header
  parser_->beast.header_limit(
      static_cast<std::uint32_t>(std::min<std::uint64_t>(max_header.bytes(), 1U << 30)));
  parser_->beast.body_limit(max_body.bytes());
}

RequestReader::~RequestReader() = default;

void RequestReader::fail_with(int status, std::string what) {
  state_ = State::kFailed;
  error_status_ = status;
  error_ = std::move(what);
}

std::size_t RequestReader::feed(std::string_view input) {
  std::size_t used = 0;
  if (!started_) {
    // Some clients end the body before with an extra line break (RFC 9112, 2.2).
    used = std::min(input.find_first_not_of("\r\n"), input.size());
    if (used == input.size()) return used;
    started_ = true;
    if (!is_token_char(input[used])) fail_with(400, "this is not an HTTP request");
  }
  if (state_ == State::kHead) {
    // The parser waits for "\r\n\r\n" and would wait for ever behind a bare line feed.
    const auto head = input.substr(used);
    for (auto lf = head.find('\n', scanned_); lf != std::string_view::npos; lf = head.find('\n', lf + 1)) {
      if (lf == 0 || head[lf - 1] != '\r') {
        fail_with(400, "a line of the head does not end with CR LF");
        break;
      }
      if (lf >= 3 && head.substr(lf - 3, 4) == "\r\n\r\n") break;
    }
    scanned_ = head.size();
  }
  auto& parser = parser_->beast;
  while (state_ != State::kFailed && state_ != State::kDone && used < input.size()) {
    beast::error_code ec;
    const auto part = input.substr(used);
    const std::size_t taken = parser.put(boost::asio::buffer(part.data(), part.size()), ec);
    used += taken;
    scanned_ -= std::min(scanned_, taken);
    if (ec && ec != error::need_more) {
      if (ec == error::body_limit) {
        fail_with(413, "the body is larger than the limit");
      } else if (ec == error::header_limit) {
        fail_with(431, fmt::format("the head is larger than {}", max_header_.to_string()));
      } else {
        fail_with(400, fmt::format("malformed request: {}", ec.message()));
      }
      break;
    }
    if (state_ == State::kHead && parser.is_header_done()) on_head();
    if (state_ == State::kBody && parser.is_done()) {
      request_.body = std::move(parser.get().body());
      wants_continue_ = false;
      state_ = State::kDone;
    }
    if (ec == error::need_more || taken == 0) break;
  }
  // What is left over is an unfinished head, chunk line or trailer: the head's limit holds for each.
  if ((state_ == State::kHead || state_ == State::kBody) && input.size() - used > max_header_.bytes()) {
    fail_with(431, fmt::format("the head is larger than {}", max_header_.to_string()));
  }
  return used;
}

std::size_t RequestReader::body_size() const {
  return state_ == State::kDone ? request_.body.size() : parser_->beast.get().body().size();
}

std::size_t RequestReader::announced_body_size() const {
  if (!parser_->beast.is_header_done()) return 0;
  const auto length = parser_->beast.content_length();
  return length ? static_cast<std::size_t>(*length) : 0;
}

void RequestReader::on_head() {
  state_ = State::kBody;
  const auto& message = parser_->beast.get();
  http10_ = message.version() < 11;
  keep_alive_ = message.keep_alive();
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  for (const auto& field : message) {
    add_header(request_.headers, std::string(field.name_string()), std::string_view(field.value()));
  }
  // Any other transfer coding would leave the end of the body unknown.
  const auto coding = request_.header("Transfer-Encoding");
  if (!coding.empty() && !beast::iequals(coding, "chunked")) {
    fail_with(501, "only the transfer encoding 'chunked' is known");
    return;
  }
  auto target = parse_target(request_.target);
  if (!target) {
    fail_with(400, target.error().message);
    return;
  }
  request_.path = std::move(target->path);
  request_.raw_path = std::move(target->raw_path);
  request_.raw_query = std::move(target->raw_query);
  request_.query = std::move(target->query);
  wants_continue_ = !http10_ && beast::iequals(request_.header("Expect"), "100-continue");
}

bool RequestReader::take_continue() { return std::exchange(wants_continue_, false); }

Request RequestReader::take() { return std::move(request_); }

}  // namespace switchyard::http
