#include "models/resident_set.h"

#include <algorithm>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::models {
namespace {

VersionRef to_ref(const std::string& text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string::npos) return {};
  return {text.substr(0, at), text.substr(at + 1)};
}

}  // namespace

/// Everything happens on the strand.
class ResidentSet::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(const Dependencies& dependencies)
      : dependencies_(dependencies), store_(dependencies.state), strand_(dependencies.executor) {}

  void open(Restore restore) {
    if (restore == Restore::kYes) {
      if (auto rows = store_.residents()) to_restore_ = std::move(*rows);
    }
    subscription_ = dependencies_.events.subscribe([weak = weak_from_this()](const telemetry::Event& event) {
      if (event.type != "state") return;
      if (const auto self = weak.lock()) self->post_note();
    });
    strand_.post([this] { restore_next(); });
  }

  void close() {
    subscription_ = {};
    strand_.finish();
  }

  void post_note() {
    strand_.post([this] { note(); });
  }

 private:
  /// What is in memory, then what is still to come back: a kill in the middle forgets nothing.
  void note() {
    std::vector<store::ResidentRow> rows;
    for (const Resident& resident : dependencies_.manager.residents()) {
      rows.push_back({resident.ref.to_string(), std::string(to_string(resident.residency))});
    }
    for (const store::ResidentRow& row : to_restore_) {
      if (std::ranges::find(rows, row.version, &store::ResidentRow::version) == rows.end())
        rows.push_back(row);
    }
    if (rows == noted_) return;
    if (const Status put = store_.put(rows); !put) {
      if (!std::exchange(told_, true)) {
        telemetry::log_warning("models", "what is in memory is not noted for the next start: {}",
                               put.error().to_string());
      }
      return;
    }
    told_ = false;
    noted_ = std::move(rows);
  }

  void restore_next() {
    if (to_restore_.empty()) return note();
    const store::ResidentRow row = to_restore_.front();
    const VersionRef ref = to_ref(row.version);
    const auto came = [weak = weak_from_this(), row](const Status& status) {
      if (const auto self = weak.lock())
        self->strand_.post([self = self.get(), row, status] { self->restored(row, status); });
    };
    if (const Status begun = dependencies_.manager.preload(ref, came); !begun) restored(row, begun);
  }

  void restored(const store::ResidentRow& row, const Status& status) {
    to_restore_.erase(to_restore_.begin());
    const VersionRef ref = to_ref(row.version);
    if (!status) {
      telemetry::log_info("models", "{} does not come back as it was: {}", row.version,
                          status.error().to_string());
    } else if (row.residency == "parked") {
      const auto standing = dependencies_.manager.standing(ref);
      const bool is_used = !standing || standing->leases > 0 || standing->pinned;
      if (!is_used) (void)dependencies_.manager.park(ref);  // somebody was quicker: as good
    }
    strand_.post([this] { restore_next(); });
  }

  const Dependencies dependencies_;
  store::ResidentStore store_;
  std::vector<store::ResidentRow> to_restore_;
  std::vector<store::ResidentRow> noted_;
  bool told_ = false;  ///< that it cannot be noted
  Strand strand_;
  telemetry::EventBus::Subscription subscription_;
};

ResidentSet::ResidentSet(Dependencies dependencies, Restore restore)
    : impl_(std::make_shared<Impl>(dependencies)) {
  impl_->open(restore);
}
ResidentSet::~ResidentSet() { impl_->close(); }
void ResidentSet::note() { impl_->post_note(); }

}  // namespace switchyard::models
