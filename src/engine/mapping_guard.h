#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/file_mapping.h"

namespace switchyard::engine {

/// Survives model files that are cut short while they are mapped. The kernel answers a read of a mapped page
/// that its file no longer has with SIGBUS, which by default ends the process. While a guard lives, such a
/// read within its ranges finds zeros instead, and the guard is damaged from then on: what was computed since
/// is worth nothing. A SIGBUS anywhere else does what it did before.
///
/// Constructed and destroyed by the owner of the mappings, while they are there; damaged() by any thread.
/// At most some 1000 ranges are guarded at once in a process; those beyond are not.
class MappingGuard {
 public:
  /// `ranges` are mappings of `files`, of which a file that cannot be opened is not watched for its size.
  MappingGuard(const std::vector<std::string>& files, const std::vector<AddressRange>& ranges);
  ~MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  /// True for ever once a page was missing, and while a file is shorter than it was: of its last page the
  /// kernel shows zeros without a signal. Asks the system for the sizes; does not wait for a disk.
  [[nodiscard]] bool damaged() const;

 private:
  struct Watched {
    int descriptor = -1;
    std::int64_t size = 0;
  };
  std::vector<Watched> files_;
  std::vector<std::size_t> slots_;  ///< of the table that the signal handler reads
};

}  // namespace switchyard::engine
