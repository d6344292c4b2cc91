#include "config/isolation.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <string>

#include "base/nearest.h"

namespace switchyard::config {
namespace {

const std::vector<std::string> kNames{"none", "process"};
constexpr std::uint32_t kLastCpu = 1023;  // of the kernel's plain CPU sets

std::optional<std::uint32_t> parse_cpu(std::string_view text) {
  std::uint32_t cpu = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpu);
  if (error != std::errc() || end != text.data() + text.size() || cpu > kLastCpu) return std::nullopt;
  return cpu;
}

}  // namespace

Result<engine::Isolation> parse_isolation(std::string_view text) {
  if (text == "none") return engine::Isolation::kNone;
  if (text == "process") return engine::Isolation::kProcess;
  return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is no isolation: there are none and process{}",
                                                       text, did_you_mean(text, kNames)));
}

Result<std::vector<std::uint32_t>> parse_cpus(std::string_view text) {
  std::set<std::uint32_t> cpus;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view range = text.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t dash = range.find('-');
    const auto first = parse_cpu(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_cpu(range.substr(dash + 1));
    if (!first || !last || *first > *last) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is no list of processors; write 0-3,8", text));
    }
    for (std::uint32_t cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
  }
  return std::vector<std::uint32_t>(cpus.begin(), cpus.end());
}

void apply(const IsolationSection& section, engine::ModelSpec& spec) {
  spec.isolation = section.isolation.value_or(spec.isolation);
  spec.worker.memory = section.memory.value_or(spec.worker.memory);
  if (section.cpus) spec.worker.cpus = *section.cpus;
  if (section.nice) spec.worker.nice = static_cast<int>(*section.nice);
}

}  // namespace switchyard::config
