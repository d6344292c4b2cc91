#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace switchyard::http {

/// The API keys of --api-key and --api-key-file. Immutable; any thread.
class ApiKeys {
 public:
  explicit ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  /// True when no key is configured, or the request carries one of them: `Authorization: Bearer KEY`
  /// or, without that header, `X-Api-Key: KEY`. Takes the same time for every wrong key of a length.
  [[nodiscard]] bool allows(const Request& request) const;
  [[nodiscard]] bool required() const { return !keys_.empty(); }

 private:
  const std::vector<std::string> keys_;
};

}  // namespace switchyard::http
