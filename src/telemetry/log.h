#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace switchyard::telemetry {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Least level that is written; kInfo at start. Any thread.
void set_log_level(LogLevel level);

/// One line to standard error: time, level, component ("models", "http", an engine's name), text.
/// Any thread; a line is never cut by another.
void log_line(LogLevel level, std::string_view component, std::string_view text);

template <typename... Args>
void log_info(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, component, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, component, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, component, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace switchyard::telemetry
