#include "http/experiment_intake.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include "http/own_conversation.h"

namespace switchyard::http {
namespace {

/// How paths end that only look at a model, or set it.
constexpr std::array<std::string_view, 8> kNoReplies{"/tokenize",     "/detokenize",   "/apply-template",
                                                     "/input_tokens", "/count_tokens", "/lora-adapters",
                                                     "/props",        "/control"};

}  // namespace

bool is_generated(const gateway::RequestRecord& record) {
  if (record.method != "POST" || record.path.starts_with("/slots/")) return false;
  return std::ranges::none_of(kNoReplies, [&](std::string_view end) { return record.path.ends_with(end); });
}

std::optional<experiments::Observation> observation_of(const gateway::RequestRecord& record) {
  if (record.version.model.empty() || !is_generated(record)) return std::nullopt;
  experiments::Observation observation{.name = record.name,
                                       .version = record.version.to_string(),
                                       .request_id = own_request(record.tenant, record.request_id),
                                       .subject = record.subject,
                                       .path = record.path,
                                       .segment = record.segment,
                                       .streamed = record.streamed};
  if (!record.failed.empty() && record.failed.front() != record.version) {
    observation.version = record.failed.front().to_string();
    observation.failed = true;
    return observation;
  }
  const bool failed = failed_by_server(record);
  const bool good = record.outcome == gateway::Outcome::kAnswered && record.status == 200;
  if (failed || good) observation.failed = failed;
  if (!good || failed) return observation;
  observation.latency = seconds(record.total);
  if (const auto first = first_token(record)) observation.first_token = seconds(*first);
  const double worked = seconds(record.total - record.queued);
  if (record.tokens.generated && *record.tokens.generated > 0 && worked > 0)
    observation.tokens_per_second = static_cast<double>(*record.tokens.generated) / worked;
  return observation;
}

}  // namespace switchyard::http
