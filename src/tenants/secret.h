#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::tenants {

/// SHA-256 in hexadecimal digits. Secrets are random and long: a slow hash would add nothing.
[[nodiscard]] std::string hash_of(std::string_view secret);
/// "sk-" and 32 random bytes in hexadecimal digits. Any thread.
[[nodiscard]] std::string new_secret();
/// "key-" and 12 random bytes in hexadecimal digits. Any thread.
[[nodiscard]] std::string new_key_id();

/// Secrets of which only hashes are kept. What is looked up is hashed before anything is compared, so that
/// the time tells nothing of those in it: not their bytes, not how long they are.
class SecretSet {
 public:
  SecretSet() = default;
  SecretSet(const std::vector<std::string>& secrets) {
    for (const std::string& secret : secrets) hashes_.insert(hash_of(secret));
  }
  SecretSet(std::initializer_list<std::string> secrets) : SecretSet(std::vector<std::string>(secrets)) {}
  [[nodiscard]] bool empty() const { return hashes_.empty(); }
  [[nodiscard]] bool contains(std::string_view secret) const { return hashes_.contains(hash_of(secret)); }

 private:
  std::set<std::string> hashes_;
};

}  // namespace switchyard::tenants
