#pragma once

#include <string>
#include <string_view>

#include "tenants/key.h"

// Conversations are private to the key that made them: inside they are called by its id and theirs, so that
// no id that another key can give means them. They stay its own when its secret is rotated.

namespace switchyard::http {

inline constexpr char kOwnerSeparator = '\x1e';  // in no header

/// What `conversation` is called inside when `key` (null: nobody's) asks for it; empty for none.
[[nodiscard]] inline std::string own_conversation(const tenants::KeyPtr& key, std::string conversation) {
  if (key == nullptr || conversation.empty()) return conversation;
  return key->id + kOwnerSeparator + conversation;
}

/// What own_conversation() was given.
[[nodiscard]] inline std::string without_owner(const tenants::KeyPtr& key, std::string conversation) {
  if (key == nullptr) return conversation;
  return conversation.substr(conversation.find(kOwnerSeparator) + 1);
}

}  // namespace switchyard::http
