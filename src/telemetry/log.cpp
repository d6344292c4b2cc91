#include "telemetry/log.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "base/printable.h"

namespace switchyard::telemetry {
namespace {

std::atomic<LogLevel> least_level = LogLevel::kInfo;

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "DEBUG";
    case LogLevel::kInfo: return "INFO ";
    case LogLevel::kWarning: return "WARN ";
    case LogLevel::kError: return "ERROR";
  }
  return "ERROR";
}

}  // namespace

void set_log_level(LogLevel level) { least_level = level; }

void log_line(LogLevel level, std::string_view component, std::string_view text) {
  if (level < least_level) return;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::string body = printable(text);
  for (auto at = body.find('\n'); at != std::string::npos; at = body.find('\n', at + 1)) {
    body.insert(at + 1, "    ");  // what follows cannot pass for a line of its own
  }
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto ms = now.time_since_epoch().count() % 1000;
  const std::string line =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z {} {}: {}\n",
                  fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms, name(level), component, body);
  // One write for one line: the kernel does not mix the lines of several threads.
  const char* from = line.data();
  std::size_t left = line.size();
  while (left > 0) {
    const ssize_t written = ::write(STDERR_FILENO, from, left);
    if (written <= 0) return;
    from += written;
    left -= static_cast<std::size_t>(written);
  }
}

}  // namespace switchyard::telemetry
