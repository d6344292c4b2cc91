#include "experiments/intake_counter.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "telemetry/log.h"

namespace switchyard::experiments {
namespace {

/// Written, not only sized: on a full disk a page of a hole would end the process when it is changed.
bool has_room(int file) {
  struct stat status{};
  if (fstat(file, &status) != 0) return false;
  const std::int64_t zero = 0;
  return status.st_size >= static_cast<off_t>(sizeof zero) ||
         pwrite(file, &zero, sizeof zero, 0) == sizeof zero;
}

void* map(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return MAP_FAILED;
  void* const memory = has_room(file)
                           ? mmap(nullptr, sizeof(std::int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
                           : MAP_FAILED;
  const int error = errno;
  close(file);
  errno = error;
  return memory;
}

}  // namespace

IntakeCounter::IntakeCounter(const std::string& path) {
  if (path.empty()) return;
  void* const memory = map(path);
  if (memory == MAP_FAILED) {
    telemetry::log_warning("experiments", "{} cannot be used ({}): what a kill loses is not counted", path,
                           std::generic_category().message(errno));
    return;
  }
  count_ = static_cast<std::int64_t*>(memory);
}

IntakeCounter::~IntakeCounter() {
  if (count_ != &in_memory_) munmap(count_, sizeof(std::int64_t));
}

void IntakeCounter::add(std::int64_t count) {
  std::atomic_ref(*count_).fetch_add(count, std::memory_order_relaxed);
}

void IntakeCounter::set(std::int64_t count) {
  std::atomic_ref(*count_).store(count, std::memory_order_relaxed);
}

std::int64_t IntakeCounter::value() const { return std::atomic_ref(*count_).load(std::memory_order_relaxed); }

}  // namespace switchyard::experiments
