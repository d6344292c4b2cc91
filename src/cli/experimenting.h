#pragma once

#include <memory>
#include <string>

#include "experiments/recorder.h"
#include "http/periodic.h"
#include "store/state_database.h"
#include "traffic/switcher.h"

namespace switchyard::cli {

/// The experiments of a running server: what is kept of them, the thread that writes twice a second, and the
/// aliases that follow their verdicts. Any thread.
class Experimenting {
 public:
  /// `data_dir` is empty where nothing is kept.
  Experimenting(store::StateDatabase& state, traffic::Switcher& switcher, const std::string& data_dir);

  [[nodiscard]] experiments::Recorder& recorder() { return recorder_; }
  /// To be called once aliases are there: a verdict of an earlier process may be waiting.
  void start();

 private:
  experiments::Recorder recorder_;
  std::unique_ptr<http::Periodic> timer_;  // last: ends before what it uses
};

}  // namespace switchyard::cli
