#pragma once

#include <chrono>
#include <string>

namespace switchyard::http {

/// "2026-01-31T12:00:00.123Z".
[[nodiscard]] std::string time_text(std::chrono::system_clock::time_point time);

}  // namespace switchyard::http
