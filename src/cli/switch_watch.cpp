#include "cli/switch_watch.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/terminal.h"

namespace switchyard::cli {

std::string phase_line(const std::string& phase, double duration_ms) {
  return fmt::format("{:<8} {:>8}", phase, format_seconds(duration_ms / 1000));
}

SwitchWatch::SwitchWatch(const ClientOptions& options, std::string alias)
    : alias_(std::move(alias)), client_(std::make_unique<Client>(options)), watcher_([this] { watch(); }) {}

void SwitchWatch::stop() {
  over_ = true;
  if (!watcher_.joinable()) return;
  client_->cancel();
  watcher_.join();
}

void SwitchWatch::finish(const Json& report) {
  stop();
  const MutexLock lock(mutex_);
  for (const Json& phase : report.value("phases", Json::array())) {
    const std::string name = phase.value("phase", "");
    if (!printed_.insert(name).second) continue;
    fmt::print(stderr, "{}\n", phase_line(name, phase.value("duration_ms", 0.0)));
  }
}

void SwitchWatch::watch() {
  StatusLine line;
  std::string phase;
  std::string version;
  // Comes to its end when it is cancelled, and then there is nothing to report.
  [[maybe_unused]] const Status ended =
      client_->stream("GET", "/admin/v1/events", nullptr, [&](const std::string& data) {
        const Json event = Json::parse(data, nullptr, false);
        if (!event.is_object()) return !over_;
        const std::string type = event.value("type", "");
        if (type == "switch" && event.value("alias", "") == alias_) {
          phase = event.value("phase", "");
          version = event.value("to", "");
          const std::string status = event.value("status", "");
          if (status == "begun") line.show(fmt::format("{:<8} {}", phase, format_bar(0)));
          if (status == "ended") {
            line.clear();
            const MutexLock lock(mutex_);
            printed_.insert(phase);
            fmt::print(stderr, "{}\n", phase_line(phase, event.value("duration_ms", 0.0)));
          }
        } else if (type == "load_progress" && phase == "load" &&
                   event.value("model", "") + "@" + event.value("version", "") == version) {
          line.show(fmt::format("{:<8} {}", phase, format_bar(event.value("progress", 0.0))));
        }
        return !over_;
      });
}

}  // namespace switchyard::cli
