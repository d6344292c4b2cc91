#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace switchyard::http {

/// "127.0.0.1:80", "[::1]:80", "unix"; an IPv4 address mapped into IPv6 shows as what it is.
[[nodiscard]] std::string address_text(const sockaddr_storage& address);
[[nodiscard]] std::uint16_t port_of(const sockaddr_storage& address);

}  // namespace switchyard::http
