#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::service {

/// Says that the process is alive for as long as its parts go on: each is asked for a pulse, and only when
/// all have given theirs is `alive` called and they are asked again. One that hangs stops it, and systemd
/// ends the process. tick() from one thread; pulses come from any, also after the end.
class Watchdog {
 public:
  struct Part {
    std::string name;  ///< for the log
    /// Has `done` called soon, by the part itself; must not wait for it.
    std::function<void(std::function<void()> done)> pulse;
  };

  Watchdog(std::vector<Part> parts, std::function<void()> alive);

  /// To be called a few times in the interval that systemd allows.
  void tick();

 private:
  void ask(std::size_t part);

  struct State;
  const std::vector<Part> parts_;
  const std::function<void()> alive_;
  const std::shared_ptr<State> state_;
  bool warned_ = false;
};

}  // namespace switchyard::service
