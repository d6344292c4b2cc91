#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace switchyard::telemetry {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

enum class LogFormat {
  kText,  ///< time, level, component ("models", "http", an engine's name), text, then fields as key=value
  kJson,  ///< an object a line: "time", "level", "component", "message" where there is one, and the fields
};

/// Named values of one line.
using LogFields = std::vector<std::pair<std::string, std::variant<std::string, std::uint64_t, double>>>;

/// Least level that is written; kInfo at start. Any thread.
void set_log_level(LogLevel level);
/// kText at start. Any thread.
void set_log_format(LogFormat format);
[[nodiscard]] LogLevel log_level();

/// Where lines go instead of standard error: for a process whose lines another one writes. Called by any
/// thread. Set it before there are others.
using LogSink = std::function<void(LogLevel level, std::string_view component, std::string_view text)>;
void set_log_sink(LogSink sink);

/// One line to standard error. Any thread; a line is never cut by another.
void log_line(LogLevel level, std::string_view component, std::string_view text);
/// The same with named values, which a program can read.
void log_record(LogLevel level, std::string_view component, std::string_view text, const LogFields& fields);

/// The line without its end; pure.
[[nodiscard]] std::string format_line(LogFormat format, std::string_view time, LogLevel level,
                                      std::string_view component, std::string_view text,
                                      const LogFields& fields);

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
