#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "switchyard/byte_size.h"

// What commands print for people. Pure functions but those that look at the terminal.

namespace switchyard::cli {

[[nodiscard]] bool stdin_is_terminal();
[[nodiscard]] bool stdout_is_terminal();
[[nodiscard]] bool stderr_is_terminal();

/// Rows of equal length under a header, columns aligned by what a terminal shows, two blanks between
/// them. Columns named in `right` (by index) are aligned to the right. Control characters become blanks.
[[nodiscard]] std::string format_table(const std::vector<std::string>& header,
                                       const std::vector<std::vector<std::string>>& rows,
                                       const std::vector<std::size_t>& right = {});

/// Characters that a terminal shows for UTF-8 text, wide ones counted as one.
[[nodiscard]] std::size_t shown_width(std::string_view text);

/// "3m12s" -> two units at most; "850ms" below a second.
[[nodiscard]] std::string format_seconds(double seconds);
/// 134515008 -> "134.5M".
[[nodiscard]] std::string format_count(std::uint64_t count);
/// [#####.....] 50 %
[[nodiscard]] std::string format_bar(double fraction, std::size_t width = 30);

/// One line on standard error that is written over again; nothing when that is no terminal. One thread.
class StatusLine {
 public:
  StatusLine() : active_(stderr_is_terminal()) {}
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  [[nodiscard]] bool active() const { return active_; }
  void show(std::string_view text);
  void clear();

 private:
  const bool active_;
  bool shown_ = false;
};

}  // namespace switchyard::cli
