#include "cli/admin_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "telemetry/log.h"
#include "tenants/secret.h"

namespace switchyard::cli {

Status make_admin_key_file(config::ServerSettings& settings) {
  const std::string& path = settings.admin_key_file;
  if (path.empty() || !settings.admin_keys.empty()) return {};
  const auto cannot = [&] {
    return fail(ErrorCode::kUnavailable, fmt::format("the admin key file {} cannot be made", path),
                std::generic_category().message(errno));
  };
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return cannot();
  const std::string secret = tenants::new_secret();
  const std::string line = secret + "\n";
  const bool written =
      ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(file) == 0;
  if (!written) {
    const auto error = cannot();
    ::close(file);
    ::unlink(path.c_str());
    return error;
  }
  ::close(file);
  telemetry::log_info("serve", "an administrator's key was made: it is in {}", path);
  settings.admin_keys = {secret};
  return {};
}

}  // namespace switchyard::cli
