#pragma once

#include <optional>
#include <string>

#include "pressure/memory_source.h"

namespace switchyard::pressure {

/// Whether the kernel's own threshold was passed (see PressureTrigger).
enum class Wake : std::uint8_t { kTime, kPressure };

/// Memory is running out.
struct Shortage {
  ByteSize missing;  ///< until a tenth is available again; may be 0 where tasks wait for memory all the same
  std::string why;   ///< for the log
};

/// Decides from two readings, the later one now. Pure. There is a shortage when
///  - less than 5 % of the memory is available, or
///  - less than 10 %, and the cgroup ran into a limit since, or
///  - tasks waited for memory a fifth of the time since (or the kernel woke us because of that).
[[nodiscard]] std::optional<Shortage> find_shortage(const MemoryReading& before, const MemoryReading& now,
                                                    Wake wake);

}  // namespace switchyard::pressure
