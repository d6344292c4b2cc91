#include "base/host_memory.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard {
namespace {

std::optional<std::uint64_t> first_number(std::string_view text) {
  const std::size_t begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return std::nullopt;
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data() + begin, text.data() + text.size(), number);
  return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;
}

std::uint64_t machine_memory(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemTotal:")) return first_number(line).value_or(0) << 10;
  }
  return 0;
}

/// The least number found in `name` in `folder` and the folders above it, up to `top`.
std::uint64_t least_limit(const std::filesystem::path& top, std::filesystem::path group, const char* name,
                          std::uint64_t least) {
  group = group.relative_path();
  while (true) {
    std::ifstream file(top / group / name);
    // "max" is no limit, and so is cgroup v1's number near 2^63.
    if (std::string line; std::getline(file, line))
      least = std::min(least, first_number(line).value_or(least));
    if (group.empty()) return least;
    group = group.parent_path();
  }
}

}  // namespace

ByteSize host_memory_limit(const std::filesystem::path& root) {
  std::uint64_t least = machine_memory(root);
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "0::/path" is cgroup v2, "7:memory:/path" cgroup v1.
    const std::size_t controllers = line.find(':') + 1;
    const std::size_t path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    const std::string_view names = std::string_view(line).substr(controllers, path - 1 - controllers);
    if (names.empty()) {
      least = least_limit(root / "sys/fs/cgroup", line.substr(path), "memory.max", least);
    } else if (names == "memory") {
      least = least_limit(root / "sys/fs/cgroup/memory", line.substr(path), "memory.limit_in_bytes", least);
    }
  }
  return ByteSize(least);
}

ByteSize default_memory_budget(ByteSize limit) {
  const ByteSize margin = std::clamp(ByteSize(limit.bytes() / 10), ByteSize::mib(512), ByteSize::gib(4));
  return std::max(limit - margin, ByteSize(limit.bytes() / 2));
}

}  // namespace switchyard
