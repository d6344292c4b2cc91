#pragma once

#include <string>
#include <string_view>

#include "telemetry/log.h"

namespace switchyard::engine::worker {

/// How a worker's log travels to the server's, on its standard error: one line for one.
[[nodiscard]] std::string encode_log_line(telemetry::LogLevel level, std::string_view component,
                                          std::string_view text);

struct LogLine {
  telemetry::LogLevel level = telemetry::LogLevel::kError;
  std::string component, text;
};
/// `line` without its end. One that encode_log_line() has not made (an assertion's last words, a library's)
/// is an error of `component`.
[[nodiscard]] LogLine decode_log_line(std::string_view line, std::string_view component);

}  // namespace switchyard::engine::worker
