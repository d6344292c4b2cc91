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

/// The number behind `key` in a file of lines of "key number".
std::optional<std::uint64_t> number_of(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return first_number(std::string_view(line).substr(key.size()));
  }
  return std::nullopt;
}

std::uint64_t machine_memory(const std::filesystem::path& root) {
  return number_of(root / "proc/meminfo", "MemTotal:").value_or(0) << 10;
}

/// Where a version of cgroups keeps what is asked for here.
struct GroupFiles {
  const char* top;
  const char* limit;
  const char* usage;
  const char* inactive;  ///< in memory.stat
  const char* active;
};
constexpr GroupFiles kVersion1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file ", "total_active_file "};
constexpr GroupFiles kVersion2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ",
                               "active_file "};

/// Calls `each(files, path below the top)` for every group whose memory is accounted and that this process is
/// in.
template <typename Each>
void for_groups(const std::filesystem::path& root, Each each) {
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "0::/path" is cgroup v2, "7:memory:/path" cgroup v1.
    const std::size_t controllers = line.find(':') + 1;
    const std::size_t path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    const std::string_view names = std::string_view(line).substr(controllers, path - 1 - controllers);
    if (names.empty()) each(kVersion2, line.substr(path));
    if (names == "memory") each(kVersion1, line.substr(path));
  }
}

std::optional<std::uint64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) ? first_number(line) : std::nullopt;
}

/// Of one group; nothing where it has no limit below `machine` bytes.
std::optional<HostMemory> group_memory(const std::filesystem::path& group, const GroupFiles& files,
                                       std::uint64_t machine) {
  const auto limit = number_in(group / files.limit);
  const auto usage = number_in(group / files.usage);
  if (!limit || !usage || *limit >= machine) return std::nullopt;
  const std::uint64_t cache = number_of(group / "memory.stat", files.inactive).value_or(0) +
                              number_of(group / "memory.stat", files.active).value_or(0);
  const std::uint64_t held = *usage - std::min(cache, *usage);
  return HostMemory{ByteSize(*limit), ByteSize(*limit - std::min(held, *limit))};
}

double share_left(const HostMemory& memory) {
  return static_cast<double>(memory.available.bytes()) /
         static_cast<double>(std::max<std::uint64_t>(memory.total.bytes(), 1));
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
  for_groups(root, [&](const GroupFiles& files, const std::string& path) {
    least = least_limit(root / files.top, path, files.limit, least);
  });
  return ByteSize(least);
}

HostMemory host_memory(const std::filesystem::path& root) {
  const std::uint64_t machine = machine_memory(root);
  HostMemory tightest{ByteSize(machine),
                      ByteSize(number_of(root / "proc/meminfo", "MemAvailable:").value_or(0) << 10)};
  for_groups(root, [&](const GroupFiles& files, const std::string& path) {
    std::filesystem::path group = std::filesystem::path(path).relative_path();
    while (true) {
      const auto memory = group_memory(root / files.top / group, files, machine);
      if (memory && share_left(*memory) < share_left(tightest)) tightest = *memory;
      if (group.empty()) return;
      group = group.parent_path();
    }
  });
  return tightest;
}

ByteSize default_memory_budget(ByteSize limit) {
  const ByteSize margin = std::clamp(ByteSize(limit.bytes() / 10), ByteSize::mib(512), ByteSize::gib(4));
  return std::max(limit - margin, ByteSize(limit.bytes() / 2));
}

ByteSize default_device_budget(ByteSize memory) {
  const ByteSize margin = std::max(ByteSize(memory.bytes() / 20), ByteSize::gib(1));
  const ByteSize half(memory.bytes() / 2);
  return margin < half ? memory - margin : half;
}

}  // namespace switchyard
