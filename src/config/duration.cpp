#include "config/duration.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace switchyard::config {
namespace {

struct Unit {
  std::string_view name;
  Duration length;
};
constexpr Unit kUnits[] = {
    {"d", std::chrono::days(1)},    {"h", std::chrono::hours(1)},         {"m", std::chrono::minutes(1)},
    {"s", std::chrono::seconds(1)}, {"ms", std::chrono::milliseconds(1)},
};
constexpr Duration kLongest = std::chrono::days(3650);

std::unexpected<Error> bad(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is no length of time; write 500ms, 30s, 5m, 1h, 2d or 1h30m", text));
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  if (text.empty()) return bad(text);
  double total = 0;  // nanoseconds
  for (std::string_view rest = text; !rest.empty();) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0)) return bad(text);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const std::string_view name = rest.substr(0, rest.find_first_of("0123456789."));
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (candidate.name == name) unit = &candidate;
    }
    if (unit == nullptr) return bad(text);
    rest.remove_prefix(name.size());
    total += number * static_cast<double>(unit->length.count());
  }
  if (total > static_cast<double>(kLongest.count())) return bad(text);
  return Duration(static_cast<Duration::rep>(total));
}

std::string format_duration(Duration duration) {
  std::string text;
  for (const Unit& unit : kUnits) {
    const auto count = duration / unit.length;
    if (count <= 0) continue;
    text += fmt::format("{}{}", count, unit.name);
    duration -= count * unit.length;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace switchyard::config
