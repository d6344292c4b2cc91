#include "traffic/switch_record.h"

#include <fmt/format.h>

#include <charconv>

namespace switchyard::traffic {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::system_clock;

std::int64_t to_ms(system_clock::time_point time) {
  return duration_cast<milliseconds>(time.time_since_epoch()).count();
}

std::string phases_text(const std::vector<PhaseTime>& phases) {
  std::string text;
  for (const PhaseTime& phase : phases) {
    text += fmt::format("{}{}={:.3f}", text.empty() ? "" : " ", to_string(phase.phase), in_ms(phase.took));
  }
  return text;
}

std::vector<PhaseTime> phases_of(std::string_view text) {
  std::vector<PhaseTime> phases;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const auto phase = parse<Phase>(word.substr(0, equals));
    double ms = 0;
    std::from_chars(word.data() + equals + 1, word.data() + word.size(), ms);
    if (phase)
      phases.push_back({*phase, duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms))});
  }
  return phases;
}

}  // namespace

double in_ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

std::string to_text(const models::VersionRef& ref) {
  return ref.model.empty() ? std::string() : ref.to_string();
}

models::VersionRef to_ref(std::string_view text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) return {};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

store::SwitchRow to_row(const SwitchReport& report) {
  store::SwitchRow row;
  row.id = report.id;
  row.alias = report.alias;
  row.kind = to_string(report.kind);
  row.who = report.who;
  row.why = report.why;
  row.source = to_text(report.from);
  row.target = to_text(report.to);
  row.policy = to_string(report.policy);
  row.keep_old = to_string(report.keep_old);
  row.outcome = to_string(report.outcome);
  row.phase = to_string(report.phase);
  if (report.error) {
    row.error_code = static_cast<std::int64_t>(report.error->code);
    row.error = report.error->message;
    row.error_cause = report.error->cause;
  }
  row.started = to_ms(report.started);
  row.ended = to_ms(report.ended);
  row.phases = phases_text(report.phases);
  row.split = to_text(std::span<const Arm>(report.split));
  return row;
}

SwitchReport to_report(const store::SwitchRow& row) {
  SwitchReport report;
  report.id = row.id;
  report.alias = row.alias;
  report.kind = parse<Kind>(row.kind).value_or(Kind::kSwitch);
  report.who = row.who;
  report.why = row.why;
  report.from = to_ref(row.source);
  report.to = to_ref(row.target);
  report.policy = parse<Policy>(row.policy).value_or(Policy::kAvailabilityPreserving);
  report.keep_old = parse<KeepOld>(row.keep_old).value_or(KeepOld::kParked);
  report.outcome = parse<Outcome>(row.outcome).value_or(Outcome::kFailed);
  report.phase = parse<Phase>(row.phase).value_or(Phase::kAdmit);
  if (!row.error.empty()) {
    report.error = Error{static_cast<ErrorCode>(row.error_code), row.error, row.error_cause};
  }
  const bool moved = report.outcome == Outcome::kOk || report.outcome == Outcome::kRolledBack;
  report.serving = moved ? report.to : report.from;
  report.started = system_clock::time_point(milliseconds(row.started));
  report.ended = system_clock::time_point(milliseconds(row.ended));
  report.phases = phases_of(row.phases);
  report.split = parse_arms(row.split);
  return report;
}

}  // namespace switchyard::traffic
