#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/api/engine.h"
#include "switchyard/result.h"

namespace switchyard::config {

/// Where a model's engines live and what a worker process may take, as written; what is not set comes from
/// the level below.
struct IsolationSection {
  std::optional<engine::Isolation> isolation = {};
  std::optional<ByteSize> memory = {};
  std::optional<std::vector<std::uint32_t>> cpus = {};
  std::optional<std::uint32_t> nice = {};
};

/// "none" or "process". Errors: kInvalidArgument.
[[nodiscard]] Result<engine::Isolation> parse_isolation(std::string_view text);

/// "0-3,8" as the numbers of processors, each once, in order. Errors: kInvalidArgument.
[[nodiscard]] Result<std::vector<std::uint32_t>> parse_cpus(std::string_view text);

/// `section` over what `spec` has.
void apply(const IsolationSection& section, engine::ModelSpec& spec);

}  // namespace switchyard::config
