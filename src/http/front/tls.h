#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "switchyard/result.h"

namespace switchyard::http {

/// A server's TLS settings (1.2 and newer) from PEM files; the certificate file may hold a chain.
/// Errors: kInvalidArgument naming the file and what is wrong with it, or the two not belonging together.
[[nodiscard]] Result<std::unique_ptr<boost::asio::ssl::context>> load_tls(const std::string& key_file,
                                                                          const std::string& cert_file);

}  // namespace switchyard::http
