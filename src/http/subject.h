#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/json.h"
#include "http/server.h"
#include "switchyard/result.h"

namespace switchyard::http {

/// Who is to get always the same arm of a split: the first of these that a request has: the header that the
/// alias is sticky by, the user that its body names, its key, its conversation (X-Conversation-Id), and,
/// where it has none of them, `request_id`, so that such requests follow the weights one by one. The kinds do
/// not mix: a user is never a key. Keys are told by their id or, those of the server itself, a hash.
[[nodiscard]] std::string subject_of(const Request& request, std::string_view sticky_header,
                                     std::string_view user, std::string_view key_id,
                                     std::string_view request_id);

/// The header of a body's "sticky": {"header": NAME}; nothing where there is none. Errors: kInvalidArgument.
[[nodiscard]] Result<std::optional<std::string>> read_sticky(const Json& body);

}  // namespace switchyard::http
