#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/api/token_tally.h"
#include "gateway/request_record.h"

namespace switchyard::http {

/// Finds what an engine's reply says of its tokens ("timings" and "usage", in all dialects) as its bytes go
/// by, without parsing them. Text from a model cannot forge it: within JSON strings quotes are escaped. One
/// thread at a time.
class TokenCounter {
 public:
  /// What the engine has said apart from the reply.
  void know(const engine::TokenTally& tally) { tally_ = tally; }
  /// `bytes` holds whole events or a whole body.
  void see(std::string_view bytes);
  /// `pieces` of a stream have been seen, each of about a token.
  [[nodiscard]] gateway::TokenCounts counts(std::uint64_t pieces) const;

 private:
  [[nodiscard]] bool has_several() const { return tally_ && tally_->replies > 1; }

  std::optional<engine::TokenTally> tally_;
  gateway::TokenCounts said_;    ///< of the one reply, or the last that said something
  std::uint64_t generated_ = 0;  ///< by those of several that have ended
  std::uint64_t ended_ = 0;
};

}  // namespace switchyard::http
