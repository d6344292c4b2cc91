#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// `text` without what could steer a terminal: file names and metadata come from anywhere. Control
/// characters (C0, DEL, and C1 as UTF-8) become blanks; line ends and tabs stay.
[[nodiscard]] std::string printable(std::string_view text);

/// The same in one line: line ends and tabs become blanks, too.
[[nodiscard]] std::string printable_line(std::string_view text);

}  // namespace switchyard
