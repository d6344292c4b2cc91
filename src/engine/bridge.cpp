#include "engine/bridge.h"

#include <malloc.h>

#include <clocale>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <mutex>

#include "common.h"
#include "llama.h"
#include "log.h"
#include "mtmd.h"
#include "server-stream.h"
#include "telemetry/log.h"

namespace switchyard::engine {
namespace {

thread_local const std::string* log_tag = nullptr;
thread_local LogCapture* log_capture = nullptr;
thread_local std::string partial_line;  // llama.cpp logs a line in pieces (GGML_LOG_LEVEL_CONT)
thread_local int partial_level = GGML_LOG_LEVEL_NONE;

telemetry::LogLevel to_log_level(int level) {
  switch (level) {
    case GGML_LOG_LEVEL_ERROR: return telemetry::LogLevel::kError;
    case GGML_LOG_LEVEL_WARN: return telemetry::LogLevel::kWarning;
    default: return telemetry::LogLevel::kDebug;  // llama.cpp's "info" is a page per load
  }
}

/// "llama_model_load: error loading model: ..." -> "error loading model: ...". Function names hold no space.
std::string without_function_name(const std::string& line) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string::npos || line.find(' ') < colon) return line;
  return line.substr(line.find_first_not_of(' ', colon + 2));
}

}  // namespace

void add_log_text(int level, const char* text) {
  if (level == GGML_LOG_LEVEL_CONT) level = partial_level;
  partial_level = level;
  partial_line += text;
  std::size_t end = 0;
  while ((end = partial_line.find('\n')) != std::string::npos) {
    std::string line = partial_line.substr(0, end);
    partial_line.erase(0, end + 1);
    if (line.empty()) continue;
    bool echo = true;
    if (log_capture != nullptr) {
      echo = log_capture->echo_ == LogCapture::Echo::kYes;
      if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) {
        if (!log_capture->lines_.empty()) log_capture->lines_ += "; ";
        log_capture->lines_ += without_function_name(line);
      }
    }
    if (echo) telemetry::log_line(to_log_level(level), log_tag ? *log_tag : "llama.cpp", line);
  }
}

LogTag::LogTag(const std::string& name) : previous_(log_tag) { log_tag = &name; }
LogTag::~LogTag() { log_tag = previous_; }

LogCapture::LogCapture(Echo echo) : previous_(log_capture), echo_(echo) { log_capture = this; }
LogCapture::~LogCapture() { log_capture = previous_; }

std::string LogCapture::text() const {
  constexpr std::size_t kLongest = 600;
  return lines_.size() <= kLongest ? lines_ : lines_.substr(0, kLongest) + "...";
}

void start_process_bridge() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::setlocale(LC_NUMERIC, "C");
    std::signal(SIGPIPE, SIG_IGN);
    // Fixed thresholds: by default glibc raises them to the size of each large buffer that is freed, or
    // twice that, and later buffers of parked engines and of long lists then stay in its heaps instead of
    // going back to the system.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 10);
    const auto sink = [](ggml_log_level level, const char* text, void*) { add_log_text(level, text); };
    llama_log_set(sink, nullptr);
    mtmd_log_set(sink, nullptr);
    common_log_set_verbosity_thold(LOG_LEVEL_INFO);
    llama_backend_init();
  });
  server_stream_session_manager_start();
}

void stop_process_bridge() { server_stream_session_manager_stop(); }

}  // namespace switchyard::engine

// llama.cpp's `common` writes through this function to its own thread and standard output. The
// linker sends its callers here (--wrap, see CMakeLists.txt), so that there is one log with one format.
struct common_log;
extern "C" void __wrap__Z14common_log_addP10common_log14ggml_log_levelPKcz(common_log* /*log*/,
                                                                           ggml_log_level level,
                                                                           const char* format, ...) {
  char buffer[2048];
  std::va_list args;
  va_start(args, format);
  const int length = std::vsnprintf(buffer, sizeof(buffer), format, args);
  va_end(args);
  if (length < 0) return;
  if (static_cast<std::size_t>(length) < sizeof(buffer)) {
    switchyard::engine::add_log_text(level, buffer);
    return;
  }
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  va_start(args, format);
  std::vsnprintf(text.data(), text.size(), format, args);
  va_end(args);
  switchyard::engine::add_log_text(level, text.c_str());
}

// The callback that server_context hands to mtmd, likewise.
extern "C" void __wrap__Z27common_log_default_callback14ggml_log_levelPKcPv(ggml_log_level level,
                                                                            const char* text, void*) {
  switchyard::engine::add_log_text(level, text);
}
