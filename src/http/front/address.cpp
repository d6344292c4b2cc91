#include "http/front/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>

namespace switchyard::http {

std::uint16_t port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), port_of(address));
  }
  if (address.ss_family != AF_INET6) return "unix";
  const auto& ip = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ip)) {
    ::inet_ntop(AF_INET, &ip.s6_addr[12], text.data(), text.size());
    return fmt::format("{}:{}", text.data(), port_of(address));
  }
  ::inet_ntop(AF_INET6, &ip, text.data(), text.size());
  return fmt::format("[{}]:{}", text.data(), port_of(address));
}

}  // namespace switchyard::http
