#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "switchyard/result.h"

namespace switchyard::config {

/// Reads "500ms", "30s", "5m", "1h", "2d", "1h30m" and "0". Errors: kInvalidArgument with the
/// accepted forms.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

/// "1h30m", "500ms", "0s".
[[nodiscard]] std::string format_duration(Duration duration);

}  // namespace switchyard::config
