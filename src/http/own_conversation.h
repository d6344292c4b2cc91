#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "tenants/key.h"

// Conversations are private to the key that made them, and what is told of a request is told by the key that
// asked: inside they are called by its id and theirs, so that no id that another key can give means them.
// They stay its own when its secret is rotated.

namespace switchyard::http {

inline constexpr char kOwnerSeparator = '\x1e';  // in no header

/// What `conversation` is called inside when `key` (null: nobody's) asks for it; empty for none.
[[nodiscard]] inline std::string own_conversation(const tenants::KeyPtr& key, std::string conversation) {
  if (key == nullptr || conversation.empty()) return conversation;
  return key->id + kOwnerSeparator + conversation;
}

/// The same for the id of a request, by the id of its key; empty: nobody's.
[[nodiscard]] inline std::string own_request(const std::string& key_id, std::string request_id) {
  return key_id.empty() ? std::move(request_id) : key_id + kOwnerSeparator + request_id;
}

/// What own_conversation() was given.
[[nodiscard]] inline std::string without_owner(const tenants::KeyPtr& key, std::string conversation) {
  if (key == nullptr) return conversation;
  return conversation.substr(conversation.find(kOwnerSeparator) + 1);
}

}  // namespace switchyard::http
