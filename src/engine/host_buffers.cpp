#include "engine/host_buffers.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "engine/thread_budget.h"

extern "C" {
void* __real_ggml_aligned_malloc(std::size_t size);
std::size_t __real_ggml_backend_alloc_ctx_tensors_from_buft_size(ggml_context* ctx,
                                                                 ggml_backend_buffer_type_t type);
}

namespace switchyard::engine {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLarge = 2 * kHugePage;
constexpr int kNiceness = 10;

thread_local PreparedBuffers* prepared = nullptr;
thread_local MeasuredBuffers* measured = nullptr;

/// Memory on huge pages, from malloc's family, because ggml ends it by free(). In 2 MiB pieces the kernel
/// hands out zeroed pages in a fraction of the time, where the machine lets programs ask for them
/// (transparent_hugepage = madvise or always).
void* allocate(std::size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, size) != 0) return nullptr;
  // Only whole pages of the buffer itself; refusal is no error, the buffer is then on small pages.
  ::madvise(memory, size & ~(kHugePage - 1), MADV_HUGEPAGE);
  return memory;
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
    if (buffer.size == size && !buffer.taken.exchange(true)) return buffer.memory;
  }
  return nullptr;
}

/// A buffer that was taken is left to its owner, whose own first writes go on from there. The one step that
/// may be under way then changes nothing that can be seen.
void PreparedBuffers::populate(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "buffers");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
  for (Buffer& buffer : buffers_) {
    for (std::size_t at = 0; at < buffer.size && !buffer.taken; at += kHugePage) {
      if (stop.stop_requested() || an_engine_decodes()) return;
      ::madvise(buffer.memory + at, std::min(kHugePage, buffer.size - at), MADV_POPULATE_WRITE);
    }
  }
}

MeasuredBuffers::MeasuredBuffers() { measured = this; }
MeasuredBuffers::~MeasuredBuffers() { measured = nullptr; }

}  // namespace switchyard::engine

// The linker sends llama.cpp's own calls here (--wrap, CMakeLists.txt).
extern "C" {
void* __wrap_ggml_aligned_malloc(std::size_t size) {
  using namespace switchyard::engine;
  if (size < kLarge) return __real_ggml_aligned_malloc(size);
  void* memory = prepared == nullptr ? nullptr : prepared->take(size);
  return memory == nullptr ? allocate(size) : memory;
}

std::size_t __wrap_ggml_backend_alloc_ctx_tensors_from_buft_size(ggml_context* ctx,
                                                                 ggml_backend_buffer_type_t type) {
  using namespace switchyard::engine;
  const std::size_t size = __real_ggml_backend_alloc_ctx_tensors_from_buft_size(ctx, type);
  if (measured != nullptr) measured->seen.push_back({.type = type, .size = size});
  return size;
}
}
