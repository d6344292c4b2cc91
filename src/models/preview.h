#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/planner.h"

namespace switchyard::models {

/// What a load would do if it began now: values only.
struct Preview {
  struct Victim {
    VersionRef ref;
    Residency to = Residency::kParked;
    std::string reason;        ///< "models_max" or "memory"
    std::uint32_t leases = 0;  ///< held ones that it would have to wait for
  };
  State state = State::kCold;  ///< of the version itself
  ByteSize needs;              ///< bytes that it takes when hot, all devices
  ByteSize free;               ///< of the host's budget, before anything is evicted
  std::vector<Victim> evicts;
  std::optional<Error> refusal;  ///< it would not be loaded at all
  bool waits = false;            ///< there is no room now, and none that could be made at once
  Duration expected = {};        ///< as long as its last load, or a guess by its file's size
};

/// Asks the planner. `index` is the version to load; it must have a footprint.
[[nodiscard]] Preview make_preview(Snapshot snapshot, std::size_t index);

}  // namespace switchyard::models
