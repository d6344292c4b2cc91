#include "engine/repacked_weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <ranges>
#include <utility>

#include "engine/thread_budget.h"

extern "C" void __real_ggml_backend_tensor_set(ggml_tensor* tensor, const void* data, std::size_t offset,
                                               std::size_t size);

namespace switchyard::engine {
namespace {

// A return from parked may take some 50 ms longer for memory that is free meanwhile.
constexpr std::size_t kMostMadeAgain = std::size_t{128} << 20;
constexpr std::uintptr_t kPage = 4096;

bool on_the_host(ggml_backend_buffer_t buffer) {
  ggml_backend_dev_t device = ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer));
  return device == nullptr || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

bool read_whole(int descriptor, void* into, std::size_t size, off_t offset) {
  auto* at = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t got = ::pread(descriptor, at, size, offset);
    if (got <= 0) return false;
    at += got;
    offset += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

timespec last_change(int descriptor) {
  struct stat st = {};
  return descriptor >= 0 && ::fstat(descriptor, &st) == 0 ? st.st_mtim : timespec{};
}

}  // namespace

RepackedWeights::RepackedWeights(const std::vector<std::string>& files) {
  for (const std::string& path : files) {
    Fd descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const timespec changed = last_change(descriptor.get());
    files_.push_back({.descriptor = std::move(descriptor), .changed = changed});
  }
}

void RepackedWeights::copied(ggml_tensor* tensor, std::size_t file, off_t offset, const void* data) {
  if (tensor->buffer == nullptr || !on_the_host(tensor->buffer)) return;
  std::array<std::byte, 64> sample{};
  const std::size_t size = std::min(sample.size(), ggml_nbytes(tensor));
  readable_ = readable_ && read_whole(files_.at(file).descriptor.get(), sample.data(), size, offset) &&
              std::memcmp(sample.data(), data, size) == 0;
  copies_.push_back({.tensor = tensor, .file = file, .offset = offset});
  bytes_ += ggml_nbytes(tensor);
}

/// The buffers that the copies fill; none where something else lies in one of them, too.
std::vector<ggml_backend_buffer_t> RepackedWeights::buffers() const {
  std::map<ggml_backend_buffer_t, std::size_t> filled;
  for (const Copy& copy : copies_) {
    ggml_backend_buffer_t buffer = copy.tensor->buffer;
    filled[buffer] += GGML_PAD(ggml_backend_buffer_get_alloc_size(buffer, copy.tensor),
                               ggml_backend_buffer_get_alignment(buffer));
  }
  const bool whole = std::ranges::all_of(
      filled, [](const auto& one) { return one.second >= ggml_backend_buffer_get_size(one.first); });
  const auto all = std::views::keys(filled);
  if (!whole) return {};
  return {all.begin(), all.end()};
}

bool RepackedWeights::files_unchanged() const {
  return std::ranges::all_of(files_, [](const File& file) {
    const timespec now = last_change(file.descriptor.get());
    return now.tv_sec == file.changed.tv_sec && now.tv_nsec == file.changed.tv_nsec;
  });
}

void RepackedWeights::drop() {
  if (dropped_ || copies_.empty() || !readable_ || bytes_ > kMostMadeAgain || !files_unchanged()) return;
  for (ggml_backend_buffer_t buffer : buffers()) {
    const auto base = reinterpret_cast<std::uintptr_t>(ggml_backend_buffer_get_base(buffer));
    const std::uintptr_t begin = (base + kPage - 1) / kPage * kPage;
    const std::uintptr_t end = (base + ggml_backend_buffer_get_size(buffer)) / kPage * kPage;
    if (begin >= end) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    dropped_ = true;
  }
}

bool RepackedWeights::make_again() {
  if (!dropped_) return true;
  if (!files_unchanged()) return false;
  std::vector<std::byte> data;
  for (const Copy& copy : copies_) {
    data.resize(ggml_nbytes(copy.tensor));
    if (!read_whole(files_[copy.file].descriptor.get(), data.data(), data.size(), copy.offset)) return false;
    share_openmp_threads();
    __real_ggml_backend_tensor_set(copy.tensor, data.data(), 0, data.size());
  }
  dropped_ = false;
  return true;
}

}  // namespace switchyard::engine
