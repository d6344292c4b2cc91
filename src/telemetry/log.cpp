#include "telemetry/log.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/printable.h"

namespace switchyard::telemetry {
namespace {

using Json = nlohmann::ordered_json;

std::atomic<LogLevel> least_level = LogLevel::kInfo;
std::atomic<LogFormat> format_now = LogFormat::kText;

LogSink& sink() {
  static LogSink set;
  return set;
}

std::string_view padded_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "DEBUG";
    case LogLevel::kInfo: return "INFO ";
    case LogLevel::kWarning: return "WARN ";
    case LogLevel::kError: return "ERROR";
  }
  return "ERROR";
}

std::string_view json_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "error";
}

double in_thousandths(double value) { return std::round(value * 1000) / 1000; }

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string as_json(std::string_view time, LogLevel level, std::string_view component, std::string_view text,
                    const LogFields& fields) {
  Json line{{"time", time}, {"level", json_name(level)}, {"component", component}};
  if (!text.empty()) line["message"] = text;
  for (const auto& [name, value] : fields) {
    if (const auto* number = std::get_if<double>(&value))
      line[name] = in_thousandths(*number);
    else
      std::visit([&](const auto& plain) { line[name] = plain; }, value);
  }
  return json_text(line);
}

/// As it is where it is one word, else quoted.
std::string word(const std::string& value) {
  const auto is_plain = [](unsigned char c) {
    return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  };
  return !value.empty() && std::ranges::all_of(value, is_plain) ? printable_line(value) : json_text(value);
}

std::string as_text(std::string_view time, LogLevel level, std::string_view component, std::string_view text,
                    const LogFields& fields) {
  std::string body = printable(text);
  for (auto at = body.find('\n'); at != std::string::npos; at = body.find('\n', at + 1)) {
    body.insert(at + 1, "    ");  // what follows cannot pass for a line of its own
  }
  std::string line = fmt::format("{} {} {}:", time, padded_name(level), component);
  if (!body.empty()) line += " " + body;
  for (const auto& [name, value] : fields) {
    line += " " + name + "=";
    if (const auto* words = std::get_if<std::string>(&value)) line += word(*words);
    if (const auto* count = std::get_if<std::uint64_t>(&value)) line += std::to_string(*count);
    if (const auto* number = std::get_if<double>(&value)) line += fmt::format("{}", in_thousandths(*number));
  }
  return line;
}

std::string time_now() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                     now.time_since_epoch().count() % 1000);
}

}  // namespace

void set_log_level(LogLevel level) { least_level = level; }
void set_log_format(LogFormat format) { format_now = format; }
LogLevel log_level() { return least_level; }
void set_log_sink(LogSink set) { sink() = std::move(set); }

std::string format_line(LogFormat format, std::string_view time, LogLevel level, std::string_view component,
                        std::string_view text, const LogFields& fields) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return format == LogFormat::kJson ? as_json(time, level, component, text, fields)
                                    : as_text(time, level, component, text, fields);
}

void log_line(LogLevel level, std::string_view component, std::string_view text) {
  log_record(level, component, text, {});
}

void log_record(LogLevel level, std::string_view component, std::string_view text, const LogFields& fields) {
  if (level < least_level) return;
  if (sink()) return sink()(level, component, text);
  const std::string line = format_line(format_now, time_now(), level, component, text, fields) + "\n";
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
