#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace switchyard {

/// Whether the bytes are UTF-8 as of RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
[[nodiscard]] inline bool is_utf8(std::string_view text) {
  const auto byte = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  for (std::size_t at = 0; at < text.size();) {
    const unsigned first = byte(at), second = byte(at + 1);
    const std::size_t length = first < 0x80                     ? 1
                               : first >= 0xc2 && first <= 0xdf ? 2
                               : first >= 0xe0 && first <= 0xef ? 3
                               : first >= 0xf0 && first <= 0xf4 ? 4
                                                                : 0;
    if (length == 0) return false;
    for (std::size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xc0U) != 0x80U) return false;
    }
    const bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool is_surrogate = first == 0xed && second >= 0xa0;
    const bool is_beyond = first == 0xf4 && second >= 0x90;
    if (is_overlong || is_surrogate || is_beyond) return false;
    at += length;
  }
  return true;
}

/// The text with U+FFFD for each byte that is part of no character.
[[nodiscard]] inline std::string to_utf8(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    while (length < 4 && at + length < text.size() && !is_utf8(text.substr(at, length))) ++length;
    if (is_utf8(text.substr(at, length))) {
      out += text.substr(at, length);
      at += length;
    } else {
      out += "\xef\xbf\xbd";
      ++at;
    }
  }
  return out;
}

}  // namespace switchyard
