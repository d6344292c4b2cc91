#pragma once

#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "pressure/shortage.h"

namespace switchyard::pressure {

/// Waits for the next look at memory. wait() from one thread, interrupt() from any.
class PressureTrigger {
 public:
  virtual ~PressureTrigger() = default;
  /// Blocks for at most `most`; ends early, with kPressure, when the kernel sees that tasks wait for memory.
  [[nodiscard]] virtual Wake wait(Duration most) = 0;
  /// Ends a wait in progress and all later ones at once.
  virtual void interrupt() = 0;
  /// Whether the kernel takes part; else it is the time alone.
  [[nodiscard]] virtual bool by_kernel() const = 0;
};

/// A PSI trigger on `file` (see pressure_file()): 400 ms of waiting in 2 s, which needs no privilege from
/// Linux 6.5 on. Where the file is empty or the kernel refuses it is the time alone.
[[nodiscard]] std::unique_ptr<PressureTrigger> make_pressure_trigger(const std::filesystem::path& file);

}  // namespace switchyard::pressure
