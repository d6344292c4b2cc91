#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "switchyard/result.h"

namespace switchyard::engine {

struct ChildResult {
  int exit_code = -1;      ///< -1 when a signal ended it
  int signal = 0;          ///< 0 when it exited by itself
  std::string output;      ///< standard output
  std::string error_tail;  ///< the last 2 KiB of standard error
};

/// Runs `program` with `args`, writes `input` to its standard input, and waits. The child is killed
/// after `limit` (kTimeout) and when `stop` is requested (kCancelled). Blocks; any thread. Errors:
/// kInternal when it cannot be started.
[[nodiscard]] Result<ChildResult> run_child(const std::string& program, const std::vector<std::string>& args,
                                            const std::string& input, std::chrono::milliseconds limit,
                                            const std::stop_token& stop);

}  // namespace switchyard::engine
