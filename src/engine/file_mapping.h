#pragma once

#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

namespace switchyard::engine {

/// A part of this process's address space.
struct AddressRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// This process's read-only shared mappings of the file at `path`, as the kernel lists them now.
[[nodiscard]] std::vector<AddressRange> mappings_of(const std::string& path);

/// The pages of which `size` bytes at `data` are a part.
[[nodiscard]] AddressRange pages_of(const void* data, std::size_t size);

/// What is left of `ranges` without `holes`; both in any order, holes may overlap.
[[nodiscard]] std::vector<AddressRange> without(const std::vector<AddressRange>& ranges,
                                                std::vector<AddressRange> holes);

/// Puts an inaccessible mapping without memory in the place of what is mapped at `range`, whole pages.
/// The addresses stay taken, so that whoever mapped them may unmap them.
void close_off(const AddressRange& range);

/// Has the kernel read the file into the page cache, piece by piece until its end or `stop`; returns the
/// bytes asked for. Waits for the device only where its queue is full.
std::uint64_t read_ahead(const std::string& path, const std::stop_token& stop);

/// madvise() on each range; returns the bytes on which it succeeded.
std::uint64_t advise(const std::vector<AddressRange>& ranges, int advice);

}  // namespace switchyard::engine
