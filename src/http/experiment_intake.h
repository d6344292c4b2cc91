#pragma once

#include "experiments/observation.h"
#include "gateway/request_record.h"

namespace switchyard::http {

/// Whether a model is to generate something for it: tokens counted and slots looked at are no replies.
[[nodiscard]] bool is_generated(const gateway::RequestRecord& record);

/// What experiments want to know of a request. Pure. Only whole good replies have times; a client that left,
/// and one that asked for something wrong, say nothing of the version. Where a stand-in answered,
/// the version that was wanted has failed. Nothing unless
/// is_generated().
[[nodiscard]] std::optional<experiments::Observation> observation_of(const gateway::RequestRecord& record);

}  // namespace switchyard::http
