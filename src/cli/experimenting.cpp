#include "cli/experimenting.h"

#include <chrono>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{500};

void move(traffic::Switcher& switcher, const experiments::Move& move, std::function<void(bool)> done) {
  traffic::SwitchRequest request{.alias = move.alias, .to = move.version, .yields = true};
  for (const std::string& arm : move.arms) {
    if (auto version = switcher.resolve(arm)) request.only_if_within.push_back(*std::move(version));
  }
  request.options.who = "experiment";
  request.options.why = move.why;
  request.done = [move, done = std::move(done)](const traffic::SwitchReport& report) {
    done(!report.error);
    if (!report.error) return;
    telemetry::log_error("experiments", "{}: {} could not be moved to {}: {}", move.why, move.alias,
                         move.version, report.error->to_string());
  };
  switcher.move(std::move(request));
}

}  // namespace

Experimenting::Experimenting(store::StateDatabase& state, traffic::Switcher& switcher,
                             const std::string& data_dir)
    : recorder_(
          {.state = state,
           .move = [&switcher](const experiments::Move& verdict,
                               std::function<void(bool)> done) { move(switcher, verdict, std::move(done)); },
           .intake_file = data_dir.empty() ? std::string() : data_dir + "/observations.count"}) {}

void Experimenting::start() {
  timer_ = std::make_unique<http::Periodic>("experiments", kInterval, [this] { recorder_.write(); });
}

}  // namespace switchyard::cli
