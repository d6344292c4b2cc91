#include "cli/key_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

namespace switchyard::cli {

bool KeyMark::is_set() const {
  std::error_code error;
  return !path_.empty() && std::filesystem::exists(path_, error);
}

void KeyMark::set() {
  if (known_ || path_.empty()) return;
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  known_ = ::fsync(file) == 0;
  ::close(file);
}

}  // namespace switchyard::cli
