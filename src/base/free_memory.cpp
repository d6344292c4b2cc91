#include "base/free_memory.h"

#include <algorithm>
#include <cstdlib>  // defines __GLIBC__
#include <thread>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace switchyard {

void give_back_free_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

void share_heaps() {
#ifdef __GLIBC__
  if (std::getenv("MALLOC_ARENA_MAX") != nullptr) return;
  ::mallopt(M_ARENA_MAX, static_cast<int>(std::max(1U, std::thread::hardware_concurrency() / 2)));
#endif
}

}  // namespace switchyard
