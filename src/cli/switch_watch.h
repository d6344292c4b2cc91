#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "cli/client.h"

namespace switchyard::cli {

/// While it lives, shows the phases of an alias's switch from the server's events: on a terminal with a
/// bar in one line, and each phase that has ended as a line of its own, on standard error.
class SwitchWatch {
 public:
  SwitchWatch(const ClientOptions& options, std::string alias);
  ~SwitchWatch() { stop(); }
  SwitchWatch(const SwitchWatch&) = delete;
  SwitchWatch& operator=(const SwitchWatch&) = delete;

  /// Ends it and prints what the report knows of phases that were not seen.
  void finish(const Json& report);

 private:
  void watch();
  void stop();

  const std::string alias_;
  const std::unique_ptr<Client> client_;
  Mutex mutex_;
  std::set<std::string> printed_ GUARDED_BY(mutex_);  // phases
  std::atomic<bool> over_ = false;
  std::thread watcher_;
};

/// "load       412ms": for people, as phases end.
[[nodiscard]] std::string phase_line(const std::string& phase, double duration_ms);

}  // namespace switchyard::cli
