#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "http/services.h"
#include "telemetry/event_bus.h"

namespace switchyard::http {

/// How far each file of one download is. One thread at a time.
class DownloadTally {
 public:
  /// Notes `progress`. True when it is to be told: each file's beginning and end, else every 100 ms.
  bool note(const engine::DownloadProgress& progress, TimePoint now);
  /// A download_progress event of all files so far.
  [[nodiscard]] telemetry::Event event() const;

 private:
  std::map<std::string, engine::DownloadProgress> files_;  // by URL
  TimePoint told_ = {};
};

/// Downloads that POST /models has begun. Any thread; start() and remove() block on the network and
/// the disk, so call them on a worker. Progress is published as download_started, download_progress,
/// download_finished, download_failed and model_remove.
class Downloads {
 public:
  explicit Downloads(Services& services) : services_(services) {}
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;

  /// Checks that there is such a model and begins to fetch it. Errors: kUnimplemented without
  /// download functions, kInvalidArgument for an empty, running or catalogued name, the check's.
  Status start(const std::string& repo);
  /// False when no such download is running.
  bool cancel(const std::string& repo);
  /// Cancels what is running; the executor's owner waits for its end.
  void cancel_all();
  /// Deletes a cached model's files after unloading it. Errors: kNotFound, kInvalidArgument when it
  /// did not come from the cache, kUnimplemented.
  Status remove(const std::string& name);
  [[nodiscard]] std::vector<std::string> running() const;
  /// What is told of `name` while it is being fetched; nothing when it is not.
  [[nodiscard]] std::optional<Error> why_not_ready(const std::string& name) const;

 private:
  void fetch(const std::string& repo, const std::shared_ptr<std::atomic<bool>>& cancelled);
  void publish(std::string type, const std::string& repo);

  Services& services_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<std::atomic<bool>>> running_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::http
