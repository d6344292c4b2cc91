#include "http/front/transport.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <utility>

namespace switchyard::http {
namespace {

/// What the two transports share: everything below the bytes themselves.
class SocketConnection : public Connection {
 protected:
  using Connection::Connection;
  [[nodiscard]] virtual Socket& socket() = 0;

  bool has_input() override {
    char byte = 0;
    return ::recv(socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }

  void close_socket(Farewell farewell) override {
    error_code ignored;
    if (farewell == Farewell::kCut) socket().set_option(Socket::linger(true, 0), ignored);
    socket().close(ignored);
  }

  void shutdown_socket() {
    error_code ignored;
    socket().shutdown(Socket::shutdown_send, ignored);
  }

  template <class Self>
  std::shared_ptr<Self> shared() {
    return std::static_pointer_cast<Self>(shared_from_this());
  }
};

class PlainConnection final : public SocketConnection {
 public:
  PlainConnection(Front& front, Socket socket, std::string remote)
      : SocketConnection(front, std::move(remote)), socket_(std::move(socket)) {}

 private:
  Socket& socket() override { return socket_; }

  void async_handshake() override {
    boost::asio::post(socket_.get_executor(), [self = shared<PlainConnection>()] { self->on_handshake({}); });
  }
  void async_read(boost::asio::mutable_buffer into) override {
    socket_.async_read_some(into, [self = shared<PlainConnection>()](error_code ec, std::size_t bytes) {
      self->on_read(ec, bytes);
    });
  }
  void async_write(boost::asio::const_buffer from) override {
    socket_.async_write_some(from, [self = shared<PlainConnection>()](error_code ec, std::size_t bytes) {
      self->on_write(ec, bytes);
    });
  }
  void shutdown_write(Farewell) override { shutdown_socket(); }

  Socket socket_;
};

class TlsConnection final : public SocketConnection {
 public:
  TlsConnection(Front& front, Socket socket, std::string remote, boost::asio::ssl::context& tls)
      : SocketConnection(front, std::move(remote)), stream_(std::move(socket), tls) {}

 private:
  Socket& socket() override { return stream_.next_layer(); }

  void async_handshake() override {
    stream_.async_handshake(boost::asio::ssl::stream_base::server,
                            [self = shared<TlsConnection>()](error_code ec) { self->on_handshake(ec); });
  }
  void async_read(boost::asio::mutable_buffer into) override {
    stream_.async_read_some(into, [self = shared<TlsConnection>()](error_code ec, std::size_t bytes) {
      self->on_read(ec, bytes);
    });
  }
  void async_write(boost::asio::const_buffer from) override {
    stream_.async_write_some(from, [self = shared<TlsConnection>()](error_code ec, std::size_t bytes) {
      self->on_write(ec, bytes);
    });
  }
  /// The read under way stays, and sees the client's own end: lingering waits for that.
  void shutdown_write(Farewell farewell) override {
    if (farewell == Farewell::kCut) return shutdown_socket();
    stream_.async_shutdown([self = shared<TlsConnection>()](error_code) {});
  }

  boost::asio::ssl::stream<Socket> stream_;
};

}  // namespace

std::shared_ptr<Connection> make_plain_connection(Front& front, Socket socket, std::string remote) {
  return std::make_shared<PlainConnection>(front, std::move(socket), std::move(remote));
}

std::shared_ptr<Connection> make_tls_connection(Front& front, Socket socket, std::string remote,
                                                boost::asio::ssl::context& tls) {
  return std::make_shared<TlsConnection>(front, std::move(socket), std::move(remote), tls);
}

}  // namespace switchyard::http
