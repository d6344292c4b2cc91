#pragma once

#include <filesystem>

#include "switchyard/byte_size.h"

namespace switchyard {

/// Bytes that this process may have: the machine's memory, or the least limit of the cgroups (v1 or v2)
/// that it is in. `root` stands for "/" in tests. Any thread.
[[nodiscard]] ByteSize host_memory_limit(const std::filesystem::path& root = "/");

/// The memory budget where none is configured: `limit` less a tenth, but at least 512 MiB and at most
/// 4 GiB, for the rest of the machine; never less than half of it.
[[nodiscard]] ByteSize default_memory_budget(ByteSize limit = host_memory_limit());

}  // namespace switchyard
