#include "http/alias_json.h"

#include <chrono>

#include "http/errors.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

Json ref_json(const models::VersionRef& ref) {
  return ref.model.empty() ? Json(nullptr) : Json(ref.to_string());
}

double in_ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

}  // namespace

Json time_json(std::chrono::system_clock::time_point time) {
  if (time.time_since_epoch().count() == 0) return nullptr;
  return time_text(time);
}

Json split_json(std::span<const traffic::Arm> arms) {
  if (arms.empty()) return nullptr;
  Json list = Json::array();
  for (const traffic::Arm& arm : arms) list.push_back({{"to", arm.to.to_string()}, {"weight", arm.weight}});
  return list;
}

Json switch_json(const traffic::SwitchReport& report) {
  Json phases = Json::array();
  for (const auto& phase : report.phases) {
    phases.push_back({{"phase", to_string(phase.phase)}, {"duration_ms", in_ms(phase.took)}});
  }
  Json json = {{"id", report.id},
               {"alias", report.alias},
               {"kind", to_string(report.kind)},
               {"from", ref_json(report.from)},
               {"to", ref_json(report.to)},
               {"split", split_json(report.split)},
               {"policy", to_string(report.policy)},
               {"keep_old", to_string(report.keep_old)},
               {"who", report.who},
               {"why", report.why},
               {"outcome", to_string(report.outcome)},
               {"phase", to_string(report.phase)},
               {"serving", ref_json(report.serving)},
               {"started_at", time_json(report.started)},
               {"ended_at", time_json(report.ended)},
               {"phases", std::move(phases)},
               {"still_draining", report.still_draining},
               {"draining_leases", report.draining_leases}};
  json["error"] = report.error ? error_object(*report.error) : Json(nullptr);
  return json;
}

Json alias_json(const traffic::AliasStatus& status) {
  Json previous = Json::array();
  for (const auto& ref : status.previous) previous.push_back(ref.to_string());
  return {{"name", status.alias.name},
          {"to", status.alias.to.to_string()},
          {"kind", status.is_model ? "model" : "alias"},
          {"split", split_json(status.alias.split)},
          {"sticky",
           status.alias.sticky_header.empty() ? Json(nullptr) : Json{{"header", status.alias.sticky_header}}},
          {"fallbacks", status.alias.fallbacks},
          {"defined", status.defined.empty() ? Json(nullptr) : Json(status.defined)},
          {"previous", std::move(previous)},
          {"switch", status.running ? switch_json(*status.running) : Json(nullptr)}};
}

Json preview_json(const traffic::SwitchPreview& preview) {
  Json evicts = Json::array();
  for (const auto& victim : preview.load.evicts) {
    evicts.push_back({{"version", victim.ref.to_string()},
                      {"to", to_string(victim.to)},
                      {"reason", victim.reason},
                      {"leases", victim.leases}});
  }
  return {{"dry_run", true},
          {"from", ref_json(preview.from)},
          {"to", ref_json(preview.to)},
          {"possible", !preview.load.refusal},
          {"error", preview.load.refusal ? error_object(*preview.load.refusal) : Json(nullptr)},
          {"state", to_string(preview.load.state)},
          {"loads", preview.load.state != models::State::kHot},
          {"needs_bytes", preview.load.needs.bytes()},
          {"free_bytes", preview.load.free.bytes()},
          {"evicts", std::move(evicts)},
          {"waits_for_room", preview.load.waits},
          {"old_becomes", preview.old_to ? Json(to_string(*preview.old_to)) : Json(nullptr)},
          {"expected_ms", in_ms(preview.expected)}};
}

int status_of(const traffic::SwitchReport& report) {
  if (!report.error) return 200;
  // Ended by somebody, for good: trying again is not what the client should do by itself.
  if (report.outcome == traffic::Outcome::kCancelled || report.outcome == traffic::Outcome::kSuperseded)
    return 409;
  return status_of(report.error->code);
}

}  // namespace switchyard::http
