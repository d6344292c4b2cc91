#include "http/front/tls.h"

#include <fmt/format.h>

namespace switchyard::http {

Result<std::unique_ptr<boost::asio::ssl::context>> load_tls(const std::string& key_file,
                                                            const std::string& cert_file) {
  namespace ssl = boost::asio::ssl;
  if (key_file.empty() || cert_file.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "TLS needs a key file and a certificate file, and one is missing");
  }
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  boost::system::error_code ec;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
                       ec);
  // Idle connections give their buffers back to OpenSSL.
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  context->use_certificate_chain_file(cert_file, ec);
  if (ec) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("cannot read a PEM certificate from '{}'", cert_file), ec.message());
  }
  context->use_private_key_file(key_file, ssl::context::pem, ec);
  if (ec) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("cannot use '{}' as the PEM key of '{}'", key_file, cert_file), ec.message());
  }
  return context;
}

}  // namespace switchyard::http
