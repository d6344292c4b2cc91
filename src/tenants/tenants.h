#pragma once

#include "store/state_database.h"
#include "tenants/keyring.h"
#include "tenants/limiter.h"
#include "tenants/usage.h"

namespace switchyard::tenants {

/// Everything of tenants, over one state database, which must outlive it. Any thread.
struct Tenants {
  explicit Tenants(store::StateDatabase& state, const Clock& clock = Clock::steady(),
                   const Keyring::Now& now = &Keyring::system_time)
      : keyring(store::KeyStore(state), now), limiter(clock), usage(store::UsageStore(state), now) {}

  Keyring keyring;
  Limiter limiter;
  Usage usage;
};

}  // namespace switchyard::tenants
