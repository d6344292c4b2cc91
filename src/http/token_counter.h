#pragma once

#include <string_view>

#include "gateway/request_record.h"

namespace switchyard::http {

/// Finds what an engine's reply says of its tokens ("timings" and "usage", in all dialects) as its bytes go
/// by, without parsing them. Text from a model cannot forge it: within JSON strings quotes are escaped. One
/// thread at a time.
class TokenCounter {
 public:
  /// `bytes` holds whole events or a whole body.
  void see(std::string_view bytes);
  [[nodiscard]] const gateway::TokenCounts& counts() const { return counts_; }

 private:
  gateway::TokenCounts counts_;
};

}  // namespace switchyard::http
