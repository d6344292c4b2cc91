#include "cli/experimenting.h"

#include <chrono>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{500};

void move(traffic::Switcher& switcher, const experiments::Move& move) {
  traffic::SwitchRequest request{.alias = move.alias, .to = move.version};
  request.options.who = "experiment";
  request.options.why = move.why;
  request.done = [move](const traffic::SwitchReport& report) {
    if (!report.error) return;
    telemetry::log_error("experiments", "{}: {} could not be moved to {}: {}", move.why, move.alias,
                         move.version, report.error->to_string());
  };
  switcher.move(std::move(request));
}

}  // namespace

Experimenting::Experimenting(store::StateDatabase& state, traffic::Switcher& switcher,
                             const std::string& data_dir)
    : recorder_({.state = state,
                 .move = [&switcher](const experiments::Move& verdict) { move(switcher, verdict); },
                 .intake_file = data_dir.empty() ? std::string() : data_dir + "/observations.count"}) {}

void Experimenting::start() {
  timer_ = std::make_unique<http::Periodic>("experiments", kInterval, [this] { recorder_.write(); });
}

}  // namespace switchyard::cli
