#pragma once

#include <string>

namespace switchyard::engine {

/// Starts what llama.cpp has once per process: backend, logger, numeric locale, stream sessions.
/// Called by each loader as it starts; any thread.
void start_process_bridge();

/// Wakes and ends resumable streams. Called when the loader goes.
void stop_process_bridge();

/// Names the engine that this thread works for in llama.cpp's log lines, for one scope.
class LogTag {
 public:
  explicit LogTag(const std::string& name);
  ~LogTag();
  LogTag(const LogTag&) = delete;
  LogTag& operator=(const LogTag&) = delete;

 private:
  const std::string* previous_;
};

/// Collects what llama.cpp says on this thread at warning level and above, for one scope: the cause
/// of an Error. Echo::kNo keeps those lines out of the log.
class LogCapture {
 public:
  enum class Echo { kYes, kNo };
  explicit LogCapture(Echo echo = Echo::kYes);
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  /// The collected lines, joined by "; ", without llama.cpp's function-name prefixes; at most 600 characters.
  [[nodiscard]] std::string text() const;

 private:
  friend void add_log_text(int level, const char* text);
  LogCapture* previous_;
  Echo echo_;
  std::string lines_;
};

}  // namespace switchyard::engine
