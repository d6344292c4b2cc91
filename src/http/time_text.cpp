#include "http/time_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace switchyard::http {

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)),
                     ms % 1000);
}

}  // namespace switchyard::http
