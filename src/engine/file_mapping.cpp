#include "engine/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace switchyard::engine {

std::vector<AddressRange> mappings_of(const std::string& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) return {};
  const std::string real_path = std::filesystem::weakly_canonical(path).string();
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::vector<AddressRange> found;
  while (std::getline(maps, line)) {
    unsigned long long begin = 0;
    unsigned long long end = 0;
    unsigned long long inode = 0;
    char permissions[8] = {};
    if (std::sscanf(line.c_str(), "%llx-%llx %7s %*x %*x:%*x %llu", &begin, &end, permissions, &inode) != 4) {
      continue;
    }
    if (inode != st.st_ino || std::strcmp(permissions, "r--s") != 0 || !line.ends_with(real_path)) continue;
    found.push_back({.begin = begin, .end = end});
  }
  return found;
}

AddressRange pages_of(const void* data, std::size_t size) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return {.begin = address / page * page, .end = (address + size + page - 1) / page * page};
}

std::vector<AddressRange> without(const std::vector<AddressRange>& ranges, std::vector<AddressRange> holes) {
  std::ranges::sort(holes, {}, &AddressRange::begin);
  std::vector<AddressRange> left;
  for (const AddressRange& range : ranges) {
    std::uintptr_t at = range.begin;
    for (const AddressRange& hole : holes) {
      if (hole.end <= at || hole.begin >= range.end) continue;
      if (hole.begin > at) left.push_back({.begin = at, .end = hole.begin});
      at = std::max(at, hole.end);
    }
    if (at < range.end) left.push_back({.begin = at, .end = range.end});
  }
  return left;
}

std::uint64_t read_ahead(const std::string& path, const std::stop_token& stop) {
  constexpr off_t kPiece = 1 << 20;  // the kernel takes no more at once
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  struct stat st = {};
  off_t at = 0;
  if (::fstat(file, &st) == 0) {
    while (at < st.st_size && !stop.stop_requested() &&
           ::posix_fadvise(file, at, kPiece, POSIX_FADV_WILLNEED) == 0) {
      at += std::min<off_t>(kPiece, st.st_size - at);
    }
  }
  ::close(file);
  return static_cast<std::uint64_t>(at);
}

// NOLINTBEGIN(performance-no-int-to-ptr): addresses come as text from the kernel
void close_off(const AddressRange& range) {
  // Where the system does not allow more mappings, the pages stay as they are.
  (void)::mmap(reinterpret_cast<void*>(range.begin), range.end - range.begin, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

std::uint64_t advise(const std::vector<AddressRange>& ranges, int advice) {
  std::uint64_t advised = 0;
  for (const AddressRange& range : ranges) {
    const std::size_t size = range.end - range.begin;
    if (size > 0 && ::madvise(reinterpret_cast<void*>(range.begin), size, advice) == 0) advised += size;
  }
  return advised;
}
// NOLINTEND(performance-no-int-to-ptr)

}  // namespace switchyard::engine
