#pragma once

#include <atomic>
#include <cstddef>
#include <list>
#include <stop_token>
#include <thread>
#include <vector>

#include "ggml-backend.h"
#include "switchyard/byte_size.h"

namespace switchyard::engine {

/// The large host buffers that a load will ask ggml for, made ahead in one scope: while the load reads the
/// vocabulary on its one thread, another has the kernel hand out their zeroed pages, which takes as long
/// as the vocabulary does. A request of exactly that size on the scope's thread gets such a buffer, finished
/// or not; what nobody has asked for goes with the scope. Stops while an engine decodes.
class PreparedBuffers {
 public:
  explicit PreparedBuffers(const std::vector<ByteSize>& sizes);
  ~PreparedBuffers();
  PreparedBuffers(const PreparedBuffers&) = delete;
  PreparedBuffers& operator=(const PreparedBuffers&) = delete;

  /// A buffer of `size` bytes, the caller's from now on and freed by free(); null when there is none.
  [[nodiscard]] void* take(std::size_t size);

 private:
  struct Buffer {
    std::byte* memory = nullptr;
    std::size_t size = 0;
    std::atomic<bool> taken = false;
  };
  void populate(const std::stop_token& stop);

  std::list<Buffer> buffers_;  // constant but for `taken`
  std::jthread populating_;
};

/// The buffers that llama.cpp works out on this thread, in one scope, where it measures a model and its
/// contexts without allocating them.
class MeasuredBuffers {
 public:
  struct Buffer {
    ggml_backend_buffer_type_t type = nullptr;
    std::size_t size = 0;
  };
  MeasuredBuffers();
  ~MeasuredBuffers();
  MeasuredBuffers(const MeasuredBuffers&) = delete;
  MeasuredBuffers& operator=(const MeasuredBuffers&) = delete;
  std::vector<Buffer> seen;
};

}  // namespace switchyard::engine
