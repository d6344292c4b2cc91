#pragma once

#include "config/server_settings.h"
#include "switchyard/result.h"

namespace switchyard::cli {

/// Makes the administrator's key file of the settings, where it names one that is not there: mode 0600, on
/// disk when this returns, never over a file that somebody else made meanwhile. Its key is then among
/// `admin_keys`. Says where it is on standard error; the key itself is in the file only. Errors:
/// kUnavailable when it cannot be written.
[[nodiscard]] Status make_admin_key_file(config::ServerSettings& settings);

}  // namespace switchyard::cli
