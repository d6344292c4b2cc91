#pragma once

#include <functional>

#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// What a request that changes residency waits for.
enum class Wait : std::uint8_t { kNo, kYes };

/// Begins a change by `begin` (one of the manager's load, unload, ...) and answers with `reply`: at
/// once, or when it is done; with the error when it cannot begin or, waited for, fails.
void answer_change(const Services& services, ExchangePtr exchange, Wait wait,
                   const std::function<Status(models::Manager::Done)>& begin,
                   std::function<Response()> reply);

}  // namespace switchyard::http
