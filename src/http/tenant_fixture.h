#pragma once

#include <cstdint>
#include <string>

#include "http/app_fixture.h"

// For tests only: an App that has keys.

namespace switchyard::http::testing {

class TenantTest : public AppTest {
 protected:
  explicit TenantTest(std::uint32_t slots = 0) : AppTest(slots) {}
  void SetUp() override {
    AppTest::SetUp();
    admin_ = make({.key_alias = "root", .scopes = {tenants::Scope::kAdmin}});
  }
  /// A new key's headers.
  Headers make(const tenants::KeySettings& settings) {
    const auto created = tenants_.keyring.create(settings, tenants::AdminKey::kNone);
    EXPECT_TRUE(created) << created.error().to_string();
    return {{"Authorization", "Bearer " + (created ? created->key.secret : "")}};
  }
  static bool is_refused(const Response& reply) {
    return reply.status == 403 && error_type(reply) == "permission_error";
  }
  Headers admin_;
};

}  // namespace switchyard::http::testing
