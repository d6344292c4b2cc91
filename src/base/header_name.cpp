#include "base/header_name.h"

#include <algorithm>
#include <cctype>

namespace switchyard {

bool is_header_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](unsigned char c) {
    return std::isalnum(c) != 0 || kMarks.contains(static_cast<char>(c));
  });
}

}  // namespace switchyard
