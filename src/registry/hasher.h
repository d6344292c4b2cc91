#pragma once

#include <deque>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "store/version_store.h"

namespace switchyard::registry {

/// Computes SHA-256 of files on one thread that takes the processor and the disk only when nobody else
/// wants them, and keeps them by path and stamp. Any thread.
class Hasher {
 public:
  explicit Hasher(store::VersionStore& store);
  /// Ends at once; a file in progress is begun again next time.
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  /// Wants the hash of the file as it is now; nothing happens where it is known.
  void want(const std::string& path, const std::string& stamp) EXCLUDES(mutex_);

 private:
  struct File {
    std::string path, stamp;
  };
  void run(const std::stop_token& stop) EXCLUDES(mutex_);

  store::VersionStore& store_;
  Mutex mutex_;
  CondVar work_;
  std::deque<File> files_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace switchyard::registry
