#include "pressure/memory_source.h"

#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace switchyard::pressure {
namespace {

namespace fs = std::filesystem;

/// The cgroup v2 of this process, where it is one with limits of its own.
fs::path own_group(const fs::path& root) {
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    const fs::path group = root / "sys/fs/cgroup" / fs::path(line.substr(3)).relative_path();
    std::error_code none;
    if (fs::exists(group / "memory.max", none)) return group;  // the root group has none
  }
  return {};
}

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// "some avg10=0.00 avg60=0.00 avg300=0.00 total=716606", in microseconds.
std::optional<Duration> stalled_in(const fs::path& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t total = line.find("total=");
    if (line.starts_with("some") && total != std::string::npos)
      return std::chrono::microseconds(number_in(std::string_view(line).substr(total + 6)));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> limit_hits_of(const fs::path& group) {
  std::ifstream file(group / "memory.events");
  std::optional<std::uint64_t> hits;
  for (std::string line; std::getline(file, line);) {
    for (const std::string_view name : {"high ", "max ", "oom "}) {
      if (line.starts_with(name))
        hits = hits.value_or(0) + number_in(std::string_view(line).substr(name.size()));
    }
  }
  return hits;
}

class KernelFiles final : public MemorySource {
 public:
  KernelFiles(fs::path root, const Clock& clock)
      : root_(std::move(root)), clock_(clock), group_(own_group(root_)), pressure_(pressure_file(root_)) {}

  MemoryReading read() override {
    MemoryReading reading{.at = clock_.now(), .memory = host_memory(root_)};
    if (!pressure_.empty()) reading.stalled = stalled_in(pressure_);
    if (!group_.empty()) reading.limit_hits = limit_hits_of(group_);
    return reading;
  }

 private:
  const fs::path root_;
  const Clock& clock_;
  const fs::path group_;
  const fs::path pressure_;
};

}  // namespace

fs::path pressure_file(const fs::path& root) {
  const fs::path group = own_group(root);
  for (const fs::path& path :
       {group.empty() ? fs::path() : group / "memory.pressure", root / "proc/pressure/memory"}) {
    if (!path.empty() && stalled_in(path)) return path;
  }
  return {};
}

std::unique_ptr<MemorySource> make_memory_source(const fs::path& root, const Clock& clock) {
  return std::make_unique<KernelFiles>(root, clock);
}

}  // namespace switchyard::pressure
