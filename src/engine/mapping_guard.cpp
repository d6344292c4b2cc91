#include "engine/mapping_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

namespace switchyard::engine {
namespace {

constexpr std::size_t kMostRanges = 1024;

/// One guarded range, read by the signal handler: nothing but lock-free atomics. `end` is zero while the slot
/// is free or being filled.
struct Slot {
  std::atomic<bool> taken = false;
  std::atomic<bool> damaged = false;
  std::atomic<std::uintptr_t> begin = 0;
  std::atomic<std::uintptr_t> end = 0;
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);
std::array<Slot, kMostRanges> slots;
std::atomic<std::uintptr_t> page_size = 0;
struct sigaction before;  // written once, before the handler is there

/// Puts zeros in the place of the page at `address` and what follows it in its range: a file ends once, so
/// all of that is missing. In one mapping, because a page each would pass the system's limit of mappings.
/// False when the address is nobody's. Async-signal-safe: mmap is a bare system call on Linux.
bool put_zeros(std::uintptr_t address) {
  const std::uintptr_t page = address / page_size * page_size;
  bool mapped = false;
  for (Slot& slot : slots) {
    const std::uintptr_t end = slot.end;
    if (end == 0 || address < slot.begin || address >= end) continue;
    slot.damaged = true;  // first: whoever reads the zeros is to find it set
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the address comes from the processor
    void* const place = reinterpret_cast<void*>(page);
    mapped |= ::mmap(place, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                     -1, 0) != MAP_FAILED;
  }
  return mapped;
}

/// Does what would have been done without us.
void pass_on(int signal, siginfo_t* info, void* context) {
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  ::sigaction(signal, &before, nullptr);  // a faulting instruction runs again, and meets this action
  if (info->si_code <= 0) ::raise(signal);
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int kept_errno = errno;
  const bool missing_page = info->si_code == BUS_ADRERR;
  if (missing_page && put_zeros(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    errno = kept_errno;
    return;
  }
  pass_on(signal, info, context);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, nullptr, &before);
    ::sigaction(SIGBUS, &action, nullptr);
  });
}

std::int64_t size_of(int descriptor) {
  struct stat st = {};
  return ::fstat(descriptor, &st) == 0 ? st.st_size : 0;
}

}  // namespace

MappingGuard::MappingGuard(const std::vector<std::string>& files, const std::vector<AddressRange>& ranges) {
  install_handler();
  for (const std::string& file : files) {
    // A descriptor and not the path: a file that is replaced by a rename goes on under the mapping, whole.
    const int descriptor = ::open(file.c_str(), O_PATH | O_CLOEXEC);
    if (descriptor >= 0) files_.push_back({.descriptor = descriptor, .size = size_of(descriptor)});
  }
  std::size_t at = 0;
  for (const AddressRange& range : ranges) {
    bool free = false;
    while (at < kMostRanges && !slots[at].taken.compare_exchange_strong(free, true)) {
      free = false;
      ++at;
    }
    if (at == kMostRanges) return;
    slots[at].damaged = false;
    slots[at].begin = range.begin;
    slots[at].end = range.end;
    slots_.push_back(at);
  }
}

MappingGuard::~MappingGuard() {
  for (const std::size_t slot : slots_) {
    slots[slot].end = 0;
    slots[slot].taken = false;
  }
  for (const Watched& file : files_) ::close(file.descriptor);
}

bool MappingGuard::damaged() const {
  return std::ranges::any_of(slots_, [](std::size_t slot) { return slots[slot].damaged.load(); }) ||
         std::ranges::any_of(files_,
                             [](const Watched& file) { return size_of(file.descriptor) < file.size; });
}

}  // namespace switchyard::engine
