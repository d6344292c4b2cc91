#include "traffic/types.h"

#include <array>

namespace switchyard::traffic {
namespace {

// In the order of the enums' values.
constexpr std::array<std::string_view, 2> kPolicies = {"availability_preserving", "resource_preserving"};
constexpr std::array<std::string_view, 3> kKeeps = {"parked", "cold", "hot"};
constexpr std::array<std::string_view, 7> kPhases = {"admit", "load",  "warm_up", "probe",
                                                     "flip",  "drain", "settle"};
constexpr std::array<std::string_view, 6> kOutcomes = {"running",    "ok",        "failed",
                                                       "superseded", "cancelled", "rolled_back"};
constexpr std::array<std::string_view, 7> kKinds = {"switch",  "create", "rollback", "config",
                                                    "upgrade", "remove", "split"};

constexpr const auto& words_of(Policy) { return kPolicies; }
constexpr const auto& words_of(KeepOld) { return kKeeps; }
constexpr const auto& words_of(Phase) { return kPhases; }
constexpr const auto& words_of(Outcome) { return kOutcomes; }
constexpr const auto& words_of(Kind) { return kKinds; }

template <typename Enum>
std::string_view word_of(Enum value) {
  return words_of(value)[static_cast<std::size_t>(value)];
}

}  // namespace

std::string_view to_string(Policy policy) noexcept { return word_of(policy); }
std::string_view to_string(KeepOld keep) noexcept { return word_of(keep); }
std::string_view to_string(Phase phase) noexcept { return word_of(phase); }
std::string_view to_string(Outcome outcome) noexcept { return word_of(outcome); }
std::string_view to_string(Kind kind) noexcept { return word_of(kind); }

template <typename Enum>
std::optional<Enum> parse(std::string_view word) noexcept {
  const auto& words = words_of(Enum{});
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == word) return static_cast<Enum>(i);
  }
  return std::nullopt;
}
template std::optional<Policy> parse<Policy>(std::string_view) noexcept;
template std::optional<KeepOld> parse<KeepOld>(std::string_view) noexcept;
template std::optional<Phase> parse<Phase>(std::string_view) noexcept;
template std::optional<Outcome> parse<Outcome>(std::string_view) noexcept;
template std::optional<Kind> parse<Kind>(std::string_view) noexcept;

}  // namespace switchyard::traffic
