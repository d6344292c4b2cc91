#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "http/front/test_client.h"

namespace switchyard::http {
namespace {

using testing::Queue;
using testing::TestServer;
namespace fs = std::filesystem;

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <class T, auto kFree>
using Owned = std::unique_ptr<T, Freer<kFree>>;

/// Writes a self-signed certificate and its key.
void write_certificate(const std::string& key_file, const std::string& cert_file) {
  const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
  const Owned<X509, X509_free> cert(X509_new());
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600);
  X509_set_pubkey(cert.get(), key.get());
  X509_NAME* name = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                             -1, -1, 0);
  X509_set_issuer_name(cert.get(), name);
  X509_sign(cert.get(), key.get(), EVP_sha256());
  const Owned<BIO, BIO_free_all> key_out(BIO_new_file(key_file.c_str(), "w"));
  PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  const Owned<BIO, BIO_free_all> cert_out(BIO_new_file(cert_file.c_str(), "w"));
  PEM_write_bio_X509(cert_out.get(), cert.get());
}

/// A blocking TLS connection over a Client's socket.
class TlsClient {
 public:
  /// `server` is a port or the path of a Unix socket.
  explicit TlsClient(const auto& server) : socket_(server), context_(SSL_CTX_new(TLS_client_method())) {
    const timeval patience{.tv_sec = testing::kPatience.count(), .tv_usec = 0};
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), socket_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  void send(const std::string& bytes) { SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); }
  std::string read_until(const std::string& end) {
    while (seen_.find(end) == std::string::npos && receive()) continue;
    const auto at = seen_.find(end);
    std::string out = seen_.substr(0, at == std::string::npos ? at : at + end.size());
    seen_.erase(0, out.size());
    return out;
  }
  /// How the connection ended: SSL_ERROR_ZERO_RETURN is the signed end.
  int end() {
    while (receive()) continue;
    return error_;
  }
  void close() {
    SSL_shutdown(ssl_.get());
    socket_.close();
  }

 private:
  bool receive() {
    char buffer[4096];
    const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (got <= 0) {
      error_ = SSL_get_error(ssl_.get(), got);
      return false;
    }
    seen_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  testing::Client socket_;
  Owned<SSL_CTX, SSL_CTX_free> context_;
  Owned<SSL, SSL_free> ssl_;
  bool connected_ = false;
  int error_ = 0;
  std::string seen_;
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "switchyard-tls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    options_.tls_key_file = (dir_ / "key.pem").string();
    options_.tls_cert_file = (dir_ / "cert.pem").string();
    write_certificate(options_.tls_key_file, options_.tls_cert_file);
  }
  void TearDown() override { fs::remove_all(dir_); }

  fs::path dir_;
  ServerOptions options_;
};

TEST_F(TlsTest, KeepsTheConnectionAndEndsItProperly) {
  TestServer server(options_);
  EXPECT_TRUE(server->addresses().at(0).starts_with("https://127.0.0.1:"));
  TlsClient client(server.port());
  ASSERT_TRUE(client.connected());
  const std::string body(200'000, 'b');
  for (int i = 0; i < 20; ++i) {
    client.send("POST /a HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + body);
    ASSERT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
    ASSERT_EQ(client.read_until(body), "POST /a " + body);
    client.send("GET /stream HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(client.read_until("0\r\n\r\n").ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
  }
  client.send("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n");
  client.read_until("GET /a ");
  EXPECT_EQ(client.end(), SSL_ERROR_ZERO_RETURN);
}

TEST_F(TlsTest, ACutIsNotSigned) {
  TestServer server(options_);
  TlsClient client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto exchange = server.held();
  exchange->start_stream({});
  exchange->write("half");
  exchange->abort();
  EXPECT_NE(client.end(), SSL_ERROR_ZERO_RETURN);
}

TEST_F(TlsTest, AClientThatLeavesIsNoticed) {
  TestServer server(options_);
  TlsClient client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto exchange = server.held();
  auto gone = std::make_shared<Queue<bool>>();
  exchange->on_client_gone([gone] { gone->push(true); });
  client.close();
  EXPECT_TRUE(gone->pop());
}

TEST_F(TlsTest, AUnixSocketSpeaksItToo) {
  const std::string path = (dir_ / "s.sock").string();
  options_.hosts = {path};
  TestServer server(options_);
  TlsClient client(path);
  ASSERT_TRUE(client.connected());
  client.send("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(TlsTest, PlainTextAndSilenceDoNoHarm) {
  options_.header_timeout = std::chrono::seconds(1);
  TestServer server(options_);
  testing::Client plain(server.port());
  plain.send("GET / HTTP/1.1\r\n\r\n");
  while (plain.receive()) continue;  // perhaps an alert
  testing::Client silent(server.port());
  EXPECT_TRUE(silent.at_end()) << "a handshake has a limit";
  TlsClient client(server.port());
  EXPECT_TRUE(client.connected());
}

TEST_F(TlsTest, ShutdownAnswersWhatIsInFlight) {
  TestServer server(options_);
  TlsClient idle(server.port());
  TlsClient client(server.port());
  client.send("GET /hold HTTP/1.1\r\n\r\n");
  const auto exchange = server.held();
  server->stop_accepting();
  EXPECT_EQ(idle.end(), SSL_ERROR_ZERO_RETURN);
  exchange->respond({.body = "done"});
  EXPECT_NE(client.read_until("done").find("Connection: close"), std::string::npos);
  EXPECT_EQ(client.end(), SSL_ERROR_ZERO_RETURN);
  server.destroy();
}

TEST_F(TlsTest, BadFilesAreRefused) {
  const auto refuse = [](const ServerOptions& options) {
    auto copy = options;
    copy.port = 0;
    const auto server = Server::start(copy, [](const ExchangePtr&) {});
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().code, ErrorCode::kInvalidArgument);
  };
  auto missing = options_;
  missing.tls_cert_file = (dir_ / "none.pem").string();
  refuse(missing);
  auto half = options_;
  half.tls_key_file.clear();
  refuse(half);
  auto damaged = options_;
  std::ofstream(damaged.tls_key_file) << "not a key";
  refuse(damaged);
  auto foreign = options_;
  write_certificate(foreign.tls_key_file, (dir_ / "other.pem").string());
  refuse(foreign);
}

}  // namespace
}  // namespace switchyard::http
