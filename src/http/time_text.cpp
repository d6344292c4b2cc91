#include "http/time_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace switchyard::http {

std::string time_text(std::chrono::sys_time<std::chrono::milliseconds> time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(static_cast<std::time_t>(whole.time_since_epoch().count())),
                     (time - whole).count());
}

}  // namespace switchyard::http
