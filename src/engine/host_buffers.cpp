#include "engine/host_buffers.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include "base/mutex.h"
#include "engine/huge_pages.h"
#include "engine/thread_budget.h"

extern "C" {
void* __real_ggml_aligned_malloc(std::size_t size);
void __real_ggml_aligned_free(void* memory, std::size_t size);
void __real_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value);
std::size_t __real_ggml_backend_alloc_ctx_tensors_from_buft_size(ggml_context* ctx,
                                                                 ggml_backend_buffer_type_t type);
}

namespace switchyard::engine {

struct ZeroedBuffers::Buffer {
  std::byte* const memory;
  const std::size_t size;
  Mutex mutex;
  bool freed GUARDED_BY(mutex) = false;
};

namespace {

constexpr std::size_t kSmallPage = std::size_t{4} << 10;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLarge = 2 * kHugePage;
constexpr std::size_t kSmallStep = std::size_t{128} << 10;
constexpr int kNiceness = 10;
constexpr std::chrono::milliseconds kLookAgain{20};

thread_local PreparedBuffers* prepared = nullptr;
thread_local MeasuredBuffers* measured = nullptr;
thread_local ZeroedBuffers* zeroed = nullptr;

/// The last buffer that this thread was given, as long as nothing says that it has been written to.
struct Fresh {
  void* memory = nullptr;
  std::size_t size = 0;
};
thread_local Fresh fresh;

/// Buffers whose pages may still be on their way, by their address: whoever frees one says so here.
struct OnTheirWay {
  Mutex mutex;
  std::map<void*, std::shared_ptr<ZeroedBuffers::Buffer>> buffers GUARDED_BY(mutex);
};
OnTheirWay& on_their_way() {
  static auto* const instance = new OnTheirWay;  // buffers may be freed after every static has gone
  return *instance;
}

HugePages& huge_pages() {
  static HugePages pages;
  return pages;
}
bool huge_pages_pay() { return huge_pages().pay(std::chrono::steady_clock::now()); }

/// Of this thread, so that it does not matter who else had the processor.
Duration spent() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// Has the kernel hand out these pages, and changes nothing of them: they may have an owner who writes.
void touch(std::byte* memory, std::size_t size) {
#ifdef __x86_64__
  // Unlike madvise(), a page fault leaves other threads' mmap() and brk() alone.
  for (std::size_t at = 0; at < size; at += kSmallPage)
    asm volatile("lock orb $0, %0" : "+m"(*reinterpret_cast<unsigned char*>(memory + at)));
#else
  ::madvise(memory, size, MADV_POPULATE_WRITE);
#endif
}

/// Has the kernel hand out the pages of one step from `at` on; returns how far it went.
std::size_t populate_step(std::byte* memory, std::size_t at, std::size_t size) {
  const bool huge = huge_pages_pay();
  const std::size_t step = std::min(huge ? kHugePage : kSmallStep, size - at);
  const Duration before = spent();
  touch(memory + at, step);
  if (!huge) return step;
  huge_pages().took(spent() - before, std::chrono::steady_clock::now());
  if (!huge_pages_pay())
    ::madvise(memory + at + step, (size - at - step) & ~(kSmallPage - 1), MADV_NOHUGEPAGE);
  return step;
}

/// Memory on huge pages, from malloc's family, because ggml ends some of it by free(). In 2 MiB pieces the
/// kernel hands out zeroed pages in a fraction of the time, where the machine lets programs ask for them
/// (transparent_hugepage = madvise or always) and has them at hand.
void* allocate(std::size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, size) != 0) return nullptr;
  auto* const bytes = static_cast<std::byte*>(memory);
  // Only whole pages of the buffer itself; refusal is no error, the buffer is then on small pages.
  ::madvise(memory, size & ~(kHugePage - 1), huge_pages_pay() ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  // malloc may have had it before: zeros again, without touching what was never there.
  const std::size_t whole = size & ~(kSmallPage - 1);
  if (::madvise(memory, whole, MADV_DONTNEED) != 0) std::memset(memory, 0, whole);
  std::memset(bytes + whole, 0, size - whole);
  return memory;
}

void become_background(const char* name) {
  pthread_setname_np(pthread_self(), name);
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
}

}  // namespace

PreparedBuffers::PreparedBuffers(const std::vector<ByteSize>& sizes) {
  for (const ByteSize size : sizes) {
    if (size.bytes() < kLarge) continue;
    if (void* memory = allocate(size.bytes()); memory != nullptr) {
      Buffer& buffer = buffers_.emplace_back();
      buffer.memory = static_cast<std::byte*>(memory);
      buffer.size = size.bytes();
    }
  }
  prepared = this;
  if (!buffers_.empty()) populating_ = std::jthread([this](const std::stop_token& stop) { populate(stop); });
}

PreparedBuffers::~PreparedBuffers() {
  prepared = nullptr;
  populating_ = {};  // stops and joins
  for (const Buffer& buffer : buffers_) {
    if (!buffer.taken) std::free(buffer.memory);  // NOLINT(cppcoreguidelines-no-malloc): posix_memalign's
  }
}

void* PreparedBuffers::take(std::size_t size) {
  for (Buffer& buffer : buffers_) {
    if (buffer.size != size || buffer.taken.exchange(true)) continue;
    const MutexLock last_step(buffer.mutex);  // its new owner may free it
    return buffer.memory;
  }
  return nullptr;
}

/// A buffer that was taken is left to its owner, whose own first writes go on from there.
void PreparedBuffers::populate(const std::stop_token& stop) {
  become_background("buffers");
  for (Buffer& buffer : buffers_) {
    for (std::size_t at = 0; at < buffer.size;) {
      if (stop.stop_requested() || an_engine_decodes()) return;
      const MutexLock lock(buffer.mutex);
      if (buffer.taken) break;
      at += populate_step(buffer.memory, at, buffer.size);
    }
  }
}

ZeroedBuffers::ZeroedBuffers() { zeroed = this; }

ZeroedBuffers::~ZeroedBuffers() {
  if (zeroed == this) zeroed = nullptr;
  populating_ = {};  // stops and joins
  OnTheirWay& all = on_their_way();
  const MutexLock lock(all.mutex);
  for (const auto& buffer : buffers_) {
    const auto it = all.buffers.find(buffer->memory);
    if (it != all.buffers.end() && it->second == buffer) all.buffers.erase(it);
  }
}

void ZeroedBuffers::finish_behind() {
  zeroed = nullptr;
  if (!buffers_.empty()) populating_ = std::jthread([this](const std::stop_token& stop) { populate(stop); });
}

void ZeroedBuffers::populate(const std::stop_token& stop) const {
  become_background("buffers");
  std::mutex waiting;
  std::condition_variable_any stopped;
  for (const auto& buffer : buffers_) {
    for (std::size_t at = 0; at < buffer->size;) {
      std::unique_lock lock(waiting);
      while (an_engine_decodes() && !stop.stop_requested()) {
        stopped.wait_for(lock, stop, kLookAgain, [] { return false; });
      }
      if (stop.stop_requested()) return;
      const MutexLock alive(buffer->mutex);
      if (buffer->freed) break;
      at += populate_step(buffer->memory, at, buffer->size);
    }
  }
}

/// Whether `buffer` reads as zeros, its pages following behind.
bool zeroed_already(ggml_backend_buffer_t buffer) {
  if (zeroed == nullptr || fresh.memory == nullptr) return false;
  if (ggml_backend_buffer_get_size(buffer) != fresh.size ||
      ggml_backend_buffer_get_base(buffer) != fresh.memory)
    return false;
  auto entry = std::make_shared<ZeroedBuffers::Buffer>(static_cast<std::byte*>(fresh.memory), fresh.size);
  zeroed->buffers_.push_back(entry);
  OnTheirWay& all = on_their_way();
  const MutexLock lock(all.mutex);
  all.buffers[fresh.memory] = std::move(entry);
  return true;
}

namespace {

void say_freed(void* memory) {
  std::shared_ptr<ZeroedBuffers::Buffer> buffer;
  {
    OnTheirWay& all = on_their_way();
    const MutexLock lock(all.mutex);
    const auto it = all.buffers.find(memory);
    if (it == all.buffers.end()) return;
    buffer = std::move(it->second);
    all.buffers.erase(it);
  }
  const MutexLock lock(buffer->mutex);
  buffer->freed = true;
}

}  // namespace

MeasuredBuffers::MeasuredBuffers() { measured = this; }
MeasuredBuffers::~MeasuredBuffers() { measured = nullptr; }

}  // namespace switchyard::engine

// The linker sends llama.cpp's own calls here (--wrap, CMakeLists.txt).
extern "C" {
void* __wrap_ggml_aligned_malloc(std::size_t size) {
  using namespace switchyard::engine;
  if (size < kLarge) return __real_ggml_aligned_malloc(size);
  void* memory = prepared == nullptr ? nullptr : prepared->take(size);
  if (memory == nullptr) {
    memory = allocate(size);
    // Shows what they cost at the moment, before the loading thread meets one after the other.
    if (memory != nullptr && huge_pages_pay()) populate_step(static_cast<std::byte*>(memory), 0, size);
  }
  fresh = {.memory = memory, .size = size};
  return memory;
}

void __wrap_ggml_aligned_free(void* memory, std::size_t size) {
  using namespace switchyard::engine;
  if (size >= kLarge) say_freed(memory);
  __real_ggml_aligned_free(memory, size);
}

void __wrap_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  using namespace switchyard::engine;
  const bool done = value == 0 && zeroed_already(buffer);
  fresh = {};
  if (!done) __real_ggml_backend_buffer_clear(buffer, value);
}

std::size_t __wrap_ggml_backend_alloc_ctx_tensors_from_buft_size(ggml_context* ctx,
                                                                 ggml_backend_buffer_type_t type) {
  using namespace switchyard::engine;
  const std::size_t size = __real_ggml_backend_alloc_ctx_tensors_from_buft_size(ctx, type);
  if (measured != nullptr) measured->seen.push_back({.type = type, .size = size});
  return size;
}
}
