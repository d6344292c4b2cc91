// ggml's large host buffers (KV cache, compute) on huge pages. Making an engine hot again is mostly the
// kernel handing out zeroed pages for the KV cache; in 2 MiB pieces that takes a fraction of the time, where
// the machine lets programs ask for them (transparent_hugepage = madvise or always).
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

extern "C" {
void* __real_ggml_aligned_malloc(std::size_t size);

/// The linker sends ggml's own calls here (--wrap, CMakeLists.txt). Freed by ggml_aligned_free, that is by
/// free(), so the memory has to come from malloc's family.
void* __wrap_ggml_aligned_malloc(std::size_t size) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (size < 2 * kHugePage) return __real_ggml_aligned_malloc(size);
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, size) != 0) return nullptr;
  // Only whole pages of the buffer itself; refusal is no error, the buffer is then on small pages.
  ::madvise(memory, size & ~(kHugePage - 1), MADV_HUGEPAGE);
  return memory;
}
}
