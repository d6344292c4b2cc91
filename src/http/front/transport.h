#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "http/front/connection.h"

namespace switchyard::http {

/// A TCP or Unix-domain socket, bound to the loop's own executor type so that no call is type-erased.
using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                boost::asio::io_context::executor_type>;

[[nodiscard]] std::shared_ptr<Connection> make_plain_connection(Front& front, Socket socket,
                                                                std::string remote);
/// `tls` must outlive the connection.
[[nodiscard]] std::shared_ptr<Connection> make_tls_connection(Front& front, Socket socket, std::string remote,
                                                              boost::asio::ssl::context& tls);

}  // namespace switchyard::http
