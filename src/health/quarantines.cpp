#include "health/quarantines.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strand.h"
#include "telemetry/log.h"

namespace switchyard::health {
namespace {

using store::QuarantineRow;

/// Equal where there is nothing new to try.
std::string text_of(const engine::ModelSpec& spec) {
  std::string text = spec.file_stamp;
  for (const auto& [key, value] : spec.args) {
    text += '\n';
    text += key;
    text += '=';
    text += value;
  }
  return text;
}

}  // namespace

/// Writes on the strand only.
class Quarantines::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(const Dependencies& dependencies)
      : dependencies_(dependencies), store_(dependencies.state), strand_(dependencies.executor) {}

  void open() {
    if (auto rows = store_.quarantines()) {
      noted_ = std::move(*rows);
    } else {
      telemetry::log_warning("health", "what was quarantined is not known: {}", rows.error().to_string());
    }
    restore();
    subscription_ = dependencies_.events.subscribe([weak = weak_from_this()](const telemetry::Event& event) {
      if (event.type != "health" && event.type != "models_reload") return;
      if (const auto self = weak.lock()) self->strand_.post([self = self.get()] { self->note(); });
    });
    strand_.post([this] { note(); });
  }

  void close() {
    subscription_ = {};
    strand_.finish();
  }

 private:
  void restore() {
    if (noted_.empty()) return;
    for (const models::ModelStatus& model : dependencies_.manager.list()) {
      if (model.definition->settings.health.quarantine_after == 0) continue;
      for (const engine::ModelSpec& spec : model.definition->versions) {
        const models::VersionRef ref{model.definition->id, spec.version};
        const auto row = std::ranges::find(noted_, ref.to_string(), &QuarantineRow::version);
        if (row != noted_.end() && row->spec == text_of(spec))
          dependencies_.monitor.quarantine(ref, row->reason);
      }
    }
  }

  void note() {
    std::vector<QuarantineRow> rows;
    for (const models::ModelStatus& model : dependencies_.manager.list()) {
      for (const models::VersionStatus& version : model.versions) {
        const auto spec =
            std::ranges::find(model.definition->versions, version.ref.version, &engine::ModelSpec::version);
        if (!version.quarantined || spec == model.definition->versions.end()) continue;
        rows.push_back({.version = version.ref.to_string(),
                        .spec = text_of(*spec),
                        .reason = version.error ? version.error->message : std::string()});
      }
    }
    std::ranges::sort(rows, {}, &QuarantineRow::version);
    if (rows == noted_) return;
    if (const Status put = store_.put(rows); !put) {
      if (!std::exchange(told_, true)) {
        telemetry::log_warning("health", "what is quarantined is not noted for the next start: {}",
                               put.error().to_string());
      }
      return;
    }
    told_ = false;
    noted_ = std::move(rows);
  }

  const Dependencies dependencies_;
  store::QuarantineStore store_;
  std::vector<QuarantineRow> noted_;
  bool told_ = false;  ///< that it cannot be noted
  Strand strand_;
  telemetry::EventBus::Subscription subscription_;
};

Quarantines::Quarantines(Dependencies dependencies) : impl_(std::make_shared<Impl>(dependencies)) {
  impl_->open();
}
Quarantines::~Quarantines() { impl_->close(); }

}  // namespace switchyard::health
