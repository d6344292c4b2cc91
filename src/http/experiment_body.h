#pragma once

#include <functional>
#include <map>
#include <string>

#include "experiments/experiment.h"
#include "experiments/observation.h"
#include "http/json.h"

// What clients say to experiments. Errors of all: kInvalidArgument naming the key, and what `resolve` says.

namespace switchyard::http {

/// A name as model@version.
using ResolveVersion = std::function<Result<std::string>(const std::string& name)>;

/// Per cent of each version behind an alias that is split; empty for one that is not.
using SplitWeights = std::function<std::map<std::string, double>(const std::string& alias)>;

/// POST /admin/v1/experiments. Where it has no weights they are the split's, or even.
[[nodiscard]] Result<experiments::Definition> read_definition(const Json& body, const ResolveVersion& resolve,
                                                              const SplitWeights& split);
/// POST /v1/feedback.
[[nodiscard]] Result<experiments::Feedback> read_feedback(const Json& body);

}  // namespace switchyard::http
