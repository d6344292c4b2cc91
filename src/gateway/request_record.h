#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "gateway/tier.h"
#include "models/types.h"
#include "switchyard/result.h"

namespace switchyard::gateway {

/// How a request ended.
enum class Outcome : std::uint8_t {
  kAnswered,    ///< the whole reply was handed to the client, whatever its status
  kClientGone,  ///< the client left first
  kFailed,      ///< no engine could be had, or its reply was cut and the client told so
};
[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;

/// Tokens of one request as its reply counts them. Empty where it does not say.
struct TokenCounts {
  std::optional<std::uint64_t> prompt = {};
  std::optional<std::uint64_t> generated = {};
};

/// One request, once it is over.
struct RequestRecord {
  std::string request_id;
  std::string name;            ///< what the client asked for: a model, a version, an alias
  std::string subject;         ///< by which an arm of a split was chosen
  std::string segment = {};    ///< of an experiment's report
  models::VersionRef version;  ///< which version answered, or would have; empty when the name was unknown
  std::vector<models::VersionRef> failed = {};  ///< that were asked before it and could not answer
  std::string method;
  std::string path;
  int status = 0;  ///< as sent to the client; 499 when it left before an answer
  Outcome outcome = Outcome::kAnswered;
  std::optional<Error> error = {};  ///< why it was not answered
  TokenCounts tokens;
  Duration queued{0};       ///< from arrival until an engine was leased
  Duration first_byte{0};   ///< from arrival until the head of the reply
  Duration total{0};        ///< from arrival until everything was released
  bool streamed = false;    ///< an engine gave its reply piece by piece: first_byte is the first token
  std::uint64_t bytes = 0;  ///< of the reply's body
  std::string tenant = {};  ///< the id of the key that asked; empty: none
  Tier tier = Tier::kDefault;
};

/// Time from the engine to the first token; nothing where the reply was no stream, whose length decides
/// when it begins.
[[nodiscard]] inline std::optional<Duration> first_token(const RequestRecord& record) {
  return record.streamed ? std::optional(record.first_byte - record.queued) : std::nullopt;
}

/// The client got an error that is not its own fault, or a stream that was cut.
[[nodiscard]] inline bool failed_by_server(const RequestRecord& record) {
  return record.status >= 500 || (record.streamed && record.outcome == Outcome::kFailed);
}

/// Called once for each request on a worker thread or the loop thread; must not block.
using RequestObserver = std::function<void(const RequestRecord&)>;

}  // namespace switchyard::gateway
