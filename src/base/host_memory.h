#pragma once

#include <filesystem>

#include "switchyard/byte_size.h"

namespace switchyard {

/// Bytes that this process may have: the machine's memory, or the least limit of the cgroups (v1 or v2)
/// that it is in. `root` stands for "/" in tests. Any thread.
[[nodiscard]] ByteSize host_memory_limit(const std::filesystem::path& root = "/");

struct HostMemory {
  ByteSize total;
  ByteSize available;  ///< what is free or can be made so at once: page cache counts
};

/// The memory of the machine, or of the cgroup (v1 or v2) with a limit that is closest to it. All zero where
/// the system does not tell. Any thread; reads a few files of the kernel.
[[nodiscard]] HostMemory host_memory(const std::filesystem::path& root = "/");

/// The memory budget where none is configured: `limit` less a tenth, but at least 512 MiB and at most
/// 4 GiB, for the rest of the machine; never less than half of it.
[[nodiscard]] ByteSize default_memory_budget(ByteSize limit = host_memory_limit());

/// The budget of a device with `memory` where none is configured: less a twentieth, but at least 1 GiB, for
/// what drivers and inspections take there and for other programs; never less than half of it.
[[nodiscard]] ByteSize default_device_budget(ByteSize memory);

}  // namespace switchyard
