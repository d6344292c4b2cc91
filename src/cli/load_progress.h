#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "cli/client.h"

namespace switchyard::cli {

/// While it lives, shows how far the load of a model is, in one line on standard error, from the
/// server's events. Does nothing when standard error is no terminal.
class LoadProgress {
 public:
  /// `name`: what the user said, an alias perhaps.
  LoadProgress(const ClientOptions& options, const std::string& name);
  ~LoadProgress();
  LoadProgress(const LoadProgress&) = delete;
  LoadProgress& operator=(const LoadProgress&) = delete;

 private:
  void watch(const std::string& name);

  std::unique_ptr<Client> client_;
  std::atomic<bool> over_ = false;
  std::thread watcher_;
};

/// The line for one event ("loading gemma [####....] 40 %"); empty for events that say nothing new.
[[nodiscard]] std::string progress_line(const Json& event);

}  // namespace switchyard::cli
