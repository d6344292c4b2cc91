#include "engine/low_priority.h"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace switchyard::engine {
namespace {

// Of linux/ioprio.h, which older systems do not install.
constexpr int kThisThread = 1, kBestEffort = 2 << 13, kLeast = 7;

}  // namespace

LowPriorityScope::LowPriorityScope() {
  const auto before = static_cast<int>(::syscall(SYS_ioprio_get, kThisThread, 0));
  if (before >= 0 && ::syscall(SYS_ioprio_set, kThisThread, 0, kBestEffort | kLeast) == 0)
    io_priority_ = before;
  const sched_param none{};
  if (::sched_getscheduler(0) == SCHED_OTHER && ::sched_setscheduler(0, SCHED_BATCH, &none) == 0)
    policy_ = SCHED_OTHER;
}

LowPriorityScope::~LowPriorityScope() {
  if (io_priority_ >= 0) ::syscall(SYS_ioprio_set, kThisThread, 0, io_priority_);
  const sched_param none{};
  if (policy_ >= 0) ::sched_setscheduler(0, policy_, &none);
}

}  // namespace switchyard::engine
#else
namespace switchyard::engine {
LowPriorityScope::LowPriorityScope() = default;
LowPriorityScope::~LowPriorityScope() = default;
}  // namespace switchyard::engine
#endif
