#pragma once

#include <memory>
#include <utility>

#include "http/request_line.h"
#include "http/server.h"

namespace switchyard::http {

/// An exchange whose replies carry further headers and are noted in the log's line. Any thread, as the one
/// inside.
class DecoratedExchange final : public Exchange {
 public:
  DecoratedExchange(ExchangePtr inner, Headers headers, std::shared_ptr<RequestLine> line)
      : inner_(std::move(inner)), headers_(std::move(headers)), line_(std::move(line)) {}

  [[nodiscard]] const Request& request() const override { return inner_->request(); }
  void respond(Response response) override {
    line_->answered(response.status, response.body.size());
    inner_->respond(with_headers(std::move(response)));
  }
  void start_stream(Response head) override {
    line_->answered(head.status, 0);
    inner_->start_stream(with_headers(std::move(head)));
  }
  bool write(std::string bytes) override {
    line_->sent(bytes.size());
    return inner_->write(std::move(bytes));
  }
  void when_writable(std::function<void()> resume) override { inner_->when_writable(std::move(resume)); }
  void finish() override { inner_->finish(); }
  void abort() override { inner_->abort(); }
  [[nodiscard]] bool client_gone() const override { return inner_->client_gone(); }
  void on_client_gone(std::function<void()> callback) override {
    inner_->on_client_gone(std::move(callback));
  }

 private:
  [[nodiscard]] Response with_headers(Response response) const {
    response.headers.insert(headers_.begin(), headers_.end());
    return response;
  }

  const ExchangePtr inner_;
  const Headers headers_;
  const std::shared_ptr<RequestLine> line_;
};

}  // namespace switchyard::http
