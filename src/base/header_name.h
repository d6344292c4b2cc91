#pragma once

#include <string_view>

namespace switchyard {

/// Whether a header may have this name: a token of RFC 9110.
[[nodiscard]] bool is_header_name(std::string_view name);

}  // namespace switchyard
