#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "base/fd.h"
#include "ggml-backend.h"

namespace switchyard::engine {

/// The weights of one model that a load has copied out of its mapped files into the host's own memory, laid
/// out anew for this processor. Where copying takes only a moment they need not stay there while nobody uses
/// the model: they are made again from the same files. One thread at a time.
class RepackedWeights {
 public:
  /// Opens the files: what is read later is what is being loaded now, whatever comes in their place.
  explicit RepackedWeights(const std::vector<std::string>& files);
  ~RepackedWeights() = default;
  RepackedWeights(const RepackedWeights&) = delete;
  RepackedWeights& operator=(const RepackedWeights&) = delete;

  /// `tensor` was filled from `data`, where the byte at `offset` of file number `file` is mapped.
  void copied(ggml_tensor* tensor, std::size_t file, off_t offset, const void* data);

  /// Frees their memory, where they can be made again and are no more than 128 MiB.
  void drop();
  [[nodiscard]] bool dropped() const { return dropped_; }  ///< any thread
  /// Makes what was dropped again. False where the files do not have it any more: then it is still dropped.
  [[nodiscard]] bool make_again();

 private:
  struct File {
    Fd descriptor;
    timespec changed = {};
  };
  struct Copy {
    ggml_tensor* tensor = nullptr;
    std::size_t file = 0;
    off_t offset = 0;
  };
  [[nodiscard]] std::vector<ggml_backend_buffer_t> buffers() const;
  [[nodiscard]] bool files_unchanged() const;

  std::vector<File> files_;
  std::vector<Copy> copies_;
  std::size_t bytes_ = 0;
  bool readable_ = true;  // every copy was found in its file where it was said to be
  std::atomic<bool> dropped_ = false;
};

}  // namespace switchyard::engine
