#include "engine/worker/log_line.h"

#include <algorithm>

namespace switchyard::engine::worker {
namespace {

constexpr char kMark = '\x1e', kBetween = '\x1f', kLineBreak = '\x0b';  // of no use in a log

std::string replaced(std::string_view text, char from, char to) {
  std::string copy(text);
  std::ranges::replace(copy, from, to);
  return copy;
}

}  // namespace

std::string encode_log_line(telemetry::LogLevel level, std::string_view component, std::string_view text) {
  std::string line{kMark, static_cast<char>('0' + static_cast<int>(level))};
  line += replaced(component, '\n', kLineBreak) + kBetween + replaced(text, '\n', kLineBreak) + '\n';
  return line;
}

LogLine decode_log_line(std::string_view line, std::string_view component) {
  const std::size_t between = line.find(kBetween);
  const bool ours = line.size() > 2 && line[0] == kMark && line[1] >= '0' &&
                    line[1] <= '0' + static_cast<int>(telemetry::LogLevel::kError) &&
                    between != std::string_view::npos;
  if (!ours) return {.component = std::string(component), .text = std::string(line)};
  return {.level = static_cast<telemetry::LogLevel>(line[1] - '0'),
          .component = std::string(line.substr(2, between - 2)),
          .text = replaced(line.substr(between + 1), kLineBreak, '\n')};
}

}  // namespace switchyard::engine::worker
