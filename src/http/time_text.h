#pragma once

#include <chrono>
#include <string>

namespace switchyard::http {

/// "2026-01-31T12:00:00.123Z", of any time: the system clock's nanoseconds end in the year 2262.
[[nodiscard]] std::string time_text(std::chrono::sys_time<std::chrono::milliseconds> time);
[[nodiscard]] inline std::string time_text(std::chrono::system_clock::time_point time) {
  return time_text(std::chrono::floor<std::chrono::milliseconds>(time));
}

}  // namespace switchyard::http
