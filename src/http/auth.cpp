#include "http/auth.h"

#include <string_view>

namespace switchyard::http {
namespace {

bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  // Looks at every byte whatever the earlier ones were: the time says nothing of where they differ.
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

}  // namespace

bool allows(std::span<const std::string> keys, const Request& request) {
  if (keys.empty()) return true;
  std::string header = request.header("Authorization");
  if (header.empty()) header = request.header("X-Api-Key");
  std::string_view given = header;
  if (constexpr std::string_view bearer = "Bearer "; given.starts_with(bearer)) {
    given.remove_prefix(bearer.size());
  }
  bool found = false;
  for (const auto& key : keys) found |= same_secret(key, given);
  return found;
}

}  // namespace switchyard::http
