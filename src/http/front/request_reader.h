#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "http/server.h"

namespace switchyard::http {

/// Turns the bytes of one request into a Request, in pieces of any size, without sockets. One thread.
class RequestReader {
 public:
  enum class State { kHead, kBody, kDone, kFailed };

  RequestReader(ByteSize max_header, ByteSize max_body);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Takes the bytes of `input` that belong to this request and returns how many; the rest is to be
  /// given again, with more behind it, or belongs to the next request once the state is kDone.
  std::size_t feed(std::string_view input);

  [[nodiscard]] State state() const { return state_; }
  /// Of the body, what has come; and what is said to come, where that is said.
  [[nodiscard]] std::size_t body_size() const;
  [[nodiscard]] std::size_t announced_body_size() const;
  /// True once, when the client waits for "100 Continue" before it sends the body.
  [[nodiscard]] bool take_continue();
  /// In state kDone, once. `remote` is left empty.
  [[nodiscard]] Request take();

  [[nodiscard]] bool http10() const { return http10_; }
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }
  /// In state kFailed: 400, 413, 431 or 501, and one sentence about it.
  [[nodiscard]] int error_status() const { return error_status_; }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Parser;
  void on_head();
  void fail_with(int status, std::string what);

  const ByteSize max_header_;
  std::unique_ptr<Parser> parser_;
  State state_ = State::kHead;
  Request request_;
  bool started_ = false;
  bool http10_ = false;
  bool keep_alive_ = false;
  bool wants_continue_ = false;
  std::size_t scanned_ = 0;  ///< bytes of the unconsumed head already searched for a bare line feed
  int error_status_ = 0;
  std::string error_;
};

}  // namespace switchyard::http
