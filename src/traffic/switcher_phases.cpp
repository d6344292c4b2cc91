#include <algorithm>
#include <chrono>
#include <utility>

#include "traffic/switch_record.h"
#include "traffic/switcher_impl.h"

// How far a switch is and how that is told, and what one would do. On the strand.

namespace switchyard::traffic {

void Switcher::Impl::enter(Switch& one, Phase phase, TimePoint at) {
  if (one.report.phase != phase || one.phase_since != at) close_phase(one, at);
  one.report.phase = phase;
  one.phase_since = at;
  publish_phase(one, std::nullopt);
  if (!one.flipped) show(one.name);
}

void Switcher::Impl::close_phase(Switch& one, TimePoint at) {
  SwitchReport& report = one.report;
  if (!report.phases.empty() && report.phases.back().phase == report.phase) return;
  const Duration took = std::max(Duration(at - one.phase_since), Duration::zero());
  report.phases.push_back({report.phase, took});
  publish_phase(one, took);
}

void Switcher::Impl::note_state(const models::VersionRef& ref, const std::string& state, TimePoint at) {
  if (state == "hot") note_proven(ref);
  for (const SwitchPtr& one : std::vector(active_)) {
    if (one->flipped || one->over || one->report.to != ref) continue;
    const Phase phase = one->report.phase;
    const bool waits = phase == Phase::kAdmit || phase == Phase::kSettle || phase == Phase::kDrain;
    if (state == "loading" && waits && !(one->holds && phase == Phase::kDrain)) enter(*one, Phase::kLoad, at);
    if (state == "warming" && (phase == Phase::kLoad || phase == Phase::kWarmUp))
      enter(*one, Phase::kProbe, at);
  }
}

void Switcher::Impl::note_weights(const models::VersionRef& ref, TimePoint at) {
  for (const SwitchPtr& one : active_) {
    if (!one->flipped && one->report.to == ref && one->report.phase == Phase::kLoad)
      enter(*one, Phase::kWarmUp, at);
  }
}

void Switcher::Impl::publish_phase(const Switch& one, std::optional<Duration> took) {
  telemetry::Event event;
  event.type = "switch";
  event.model = one.report.to.model;
  event.version = one.report.to.version;
  event.text = {{"alias", one.report.alias},
                {"from", to_text(one.report.from)},
                {"to", to_text(one.report.to)},
                {"phase", std::string(to_string(one.report.phase))},
                {"status", took ? "ended" : "begun"}};
  event.numbers["switch"] = static_cast<double>(one.report.id);
  if (took) event.numbers["duration_ms"] = in_ms(*took);
  dependencies_.events.publish(std::move(event));
}

void Switcher::Impl::publish_end(const Switch& one) {
  const SwitchReport& report = one.report;
  const double duration = std::chrono::duration<double, std::milli>(report.ended - report.started).count();
  telemetry::Event event;
  event.type = "switch";
  event.model = report.to.model;
  event.version = report.to.version;
  event.text = {{"alias", report.alias},
                {"from", to_text(report.from)},
                {"to", to_text(report.to)},
                {"serving", to_text(report.serving)},
                {"phase", std::string(to_string(report.phase))},
                {"status", std::string(to_string(report.outcome))}};
  if (report.error) event.text["error"] = report.error->to_string();
  event.numbers = {{"switch", static_cast<double>(report.id)}, {"duration_ms", duration}};
  dependencies_.events.publish(std::move(event));
  if (!report.error) return;
  telemetry::Event failed;
  failed.type = "alias";
  failed.model = report.to.model;
  failed.version = report.to.version;
  failed.text = {{"alias", report.alias},
                 {"from", to_text(report.from)},
                 {"to", to_text(report.to)},
                 {"result", std::string(to_string(report.outcome))},
                 {"kind", std::string(to_string(report.kind))},
                 {"cause", report.who},
                 {"error", report.error->to_string()}};
  failed.numbers = {{"switch", static_cast<double>(report.id)}, {"duration_ms", duration}};
  dependencies_.events.publish(std::move(failed));
}

void Switcher::Impl::preview(SwitchRequest request, std::function<void(Result<SwitchPreview>)> done) {
  strand_.post([this, request = std::move(request), done = std::move(done)] {
    const auto key = key_of(request.alias, request.when_missing);
    if (!key) return done(std::unexpected(key.error()));
    const auto known = names_.find(*key);
    const Name* const name = known == names_.end() ? nullptr : &known->second;
    const auto to = target_of(request, name, *key);
    if (!to) return done(std::unexpected(to.error()));
    const auto one = std::make_shared<Switch>();
    one->name = *key;
    one->report.to = *to;
    one->report.policy = request.options.policy;
    one->report.keep_old = request.options.keep_old;
    if (name != nullptr && name->live) one->report.from = name->to;
    if (one->report.from.model.empty())
      one->report.from = dependencies_.manager.resolve(*key).value_or(models::VersionRef{});
    dependencies_.manager.inspect(
        *to, [weak = weak_from_this(), one, done](const Result<engine::Inspection>& inspection) {
          if (!inspection) return done(std::unexpected(inspection.error()));
          const auto self = weak.lock();
          if (self == nullptr) return done(fail(ErrorCode::kCancelled, "the server is shutting down"));
          self->strand_.post([self = self.get(), one, done] {
            const Situation situation = self->situation_of(*one);
            const models::VersionRef from = one->report.from;
            models::Manager::PreviewOptions options;
            if (opening(situation) == Opening::kSendOldAway) {
              options.goes = from;
            } else if (!situation.same_version && situation.old_state == models::State::kHot) {
              options.stays = from;
            }
            auto load = self->dependencies_.manager.preview(one->report.to, options);
            if (!load) return done(std::unexpected(load.error()));
            SwitchPreview preview{.from = from, .to = one->report.to, .load = std::move(*load)};
            preview.old_to = old_goes_to(situation);
            preview.expected = preview.load.expected;
            done(std::move(preview));
          });
        });
  });
}

}  // namespace switchyard::traffic
