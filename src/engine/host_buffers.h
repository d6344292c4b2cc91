#pragma once

#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "ggml-backend.h"
#include "switchyard/byte_size.h"

// The large buffers that ggml asks the host for. Each is handed out as pages that nobody has written to,
// which read as zeros; where llama.cpp's first deed is to zero it (a KV cache), that is left out.

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
    Mutex mutex = {};  ///< held for a step
    std::atomic<bool> taken = false;
  };
  void populate(const std::stop_token& stop);

  std::list<Buffer> buffers_;  // constant but for `taken`
  std::jthread populating_;
};

/// Of the buffers that llama.cpp zeroes on this thread while the object is current: the zeroing is left out,
/// and once finish_behind() has been called a thread of low priority has the kernel hand out their pages, so
/// that an engine has what was reserved for it before it is full. Waits while engines decode.
///
/// Current from construction until finish_behind() or destruction, on the thread that made it. Buffers may be
/// freed before it goes.
class ZeroedBuffers {
 public:
  ZeroedBuffers();
  ~ZeroedBuffers();
  ZeroedBuffers(const ZeroedBuffers&) = delete;
  ZeroedBuffers& operator=(const ZeroedBuffers&) = delete;

  void finish_behind();
  struct Buffer;

 private:
  friend bool zeroed_already(ggml_backend_buffer_t buffer);
  void populate(const std::stop_token& stop) const;

  std::vector<std::shared_ptr<Buffer>> buffers_;  // of its thread until finish_behind(), then constant
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
