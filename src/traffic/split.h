#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/types.h"
#include "switchyard/result.h"
#include "traffic/shares.h"

namespace switchyard::traffic {

/// One version of several that an alias means, and its share.
struct Arm {
  models::VersionRef to;
  double weight = 0;  ///< in percent; may be zero
  bool operator==(const Arm&) const = default;
};

/// An alias that means several versions: which of them a subject gets is always the same one while the
/// weights stay, and changes for as few as can be when they change. Immutable.
struct Split {
  std::vector<Arm> arms;      ///< the first is the one that the alias means where nobody asks by a subject
  std::string sticky_header;  ///< names the subject; empty: no header does
  Shares shares;              ///< by place_of(alias, subject)

  [[nodiscard]] const models::VersionRef& of(std::string_view alias, std::string_view subject) const {
    return arms[shares.arm_of(place_of(alias, subject))].to;
  }
  bool operator==(const Split&) const = default;
};

/// kInvalidArgument unless there are 1 to 64 different arms whose weights are 0 to 100 and add up to 100.
[[nodiscard]] Status check_arms(std::span<const Arm> arms);

/// `arms`, for an alias that was divided as `before` (null: was not). Arms have passed check_arms().
[[nodiscard]] Split make_split(std::vector<Arm> arms, std::string sticky_header, const Split* before);

/// As it is kept, and back; null for a text that is none.
[[nodiscard]] std::string to_text(const Split& split);
[[nodiscard]] std::shared_ptr<const Split> parse_split(std::string_view text);

/// "90 a@1", one arm a line, and back.
[[nodiscard]] std::string to_text(std::span<const Arm> arms);
[[nodiscard]] std::vector<Arm> parse_arms(std::string_view text);
/// "a@1=90, b@1=10, sticky by x-user-id", for people.
[[nodiscard]] std::string described(std::span<const Arm> arms, std::string_view sticky_header);

}  // namespace switchyard::traffic
