#pragma once

#include <cstdint>
#include <string>

namespace switchyard::experiments {

/// How many observations were ever taken in, in a file that is mapped into memory: what is counted there is
/// there after a kill -9 as well, and costs no more than an addition. Against what was written it tells how
/// many a kill has lost. Any thread.
class IntakeCounter {
 public:
  /// Made if need be. An empty path, or one that cannot be mapped (a warning): in memory.
  explicit IntakeCounter(const std::string& path);
  ~IntakeCounter();
  IntakeCounter(const IntakeCounter&) = delete;
  IntakeCounter& operator=(const IntakeCounter&) = delete;

  void add(std::int64_t count);
  void set(std::int64_t count);
  [[nodiscard]] std::int64_t value() const;

 private:
  std::int64_t in_memory_ = 0;
  std::int64_t* count_ = &in_memory_;  ///< there, or in the mapping
};

}  // namespace switchyard::experiments
