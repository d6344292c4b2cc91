#include "tenants/secret.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cstdlib>
#include <span>

namespace switchyard::tenants {
namespace {

std::string hexadecimal(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

template <std::size_t size>
std::string random_digits() {
  std::array<unsigned char, size> bytes{};
  // Without randomness a key would be guessable: no server is better than that.
  if (RAND_bytes(bytes.data(), static_cast<int>(size)) != 1) std::abort();
  return hexadecimal(bytes);
}

}  // namespace

std::string hash_of(std::string_view secret) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), digest.data());
  return hexadecimal(digest);
}

std::string new_secret() { return "sk-" + random_digits<32>(); }
std::string new_key_id() { return "key-" + random_digits<12>(); }

}  // namespace switchyard::tenants
