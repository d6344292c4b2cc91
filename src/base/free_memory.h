#pragma once

// For what a server holds while it is idle.

namespace switchyard {

/// Frees the buffer of a string or vector. Assigning an empty one keeps it.
template <typename Container>
void release(Container& container) {
  Container().swap(container);
}

/// Gives the kernel the free pages of all heaps back. glibc keeps those below anything that is still in
/// use, and after one large block up to twice its size. Any thread; holds up allocations for about a
/// millisecond.
void give_back_free_memory();

/// For a program's start: a heap for two processors and not eight for each, which would all keep free pages
/// of their own. MALLOC_ARENA_MAX counts more.
void share_heaps();

}  // namespace switchyard
