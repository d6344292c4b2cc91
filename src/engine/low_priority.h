#pragma once

namespace switchyard::engine {

/// Lowers this thread's claims for one scope: its reads go behind those of others, and it does not take a
/// processor from whoever runs. Threads that it starts meanwhile inherit both. Needs no privilege, because
/// either can be taken back (a nice value could not). Does nothing but on Linux.
class LowPriorityScope {
 public:
  LowPriorityScope();
  ~LowPriorityScope();
  LowPriorityScope(const LowPriorityScope&) = delete;
  LowPriorityScope& operator=(const LowPriorityScope&) = delete;

 private:
  int io_priority_ = -1;  ///< before; -1 where it was not changed
  int policy_ = -1;
};

}  // namespace switchyard::engine
