#include "engine/child_phase.h"

#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "engine/child_sandbox.h"
#include "engine/inspection_json.h"

namespace switchyard::engine {
namespace {

constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPROF, SIGSYS};
constexpr std::size_t kStackBytes = std::size_t{64} << 10;

std::string answer;                                    // made before, read by the handler
std::string denied_answer;                             // where the sandbox has ended it
std::array<struct sigaction, kSignals.size()> before;  // what was done about them

void set_timer(std::chrono::milliseconds most) {
  itimerval timer = {};
  timer.it_value.tv_sec = most.count() / 1000;
  timer.it_value.tv_usec = most.count() % 1000 * 1000;
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}

/// Only calls that are safe in a signal handler.
void give_answer(int signal, siginfo_t* info, void* /*context*/) {
  if (signal == SIGSYS) tell_denied_call(*info);
  const std::string& text = signal == SIGSYS ? denied_answer : answer;
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  ::_exit(kPhaseDied);
}

}  // namespace

ChildPhase::ChildPhase(const Error& error, std::chrono::milliseconds most) {
  answer = to_json(Result<Inspection>(std::unexpected(error)));
  denied_answer = to_json(Result<Inspection>(fail(
      ErrorCode::kPermissionDenied,
      "the inspection tried what reading a model never needs (a file to write, the network, another process) "
      "and was ended: do not trust the file",
      error.message)));
  // A stack of its own: the phase may have used up the other one.
  static void* const stack = std::malloc(kStackBytes);
  const stack_t alternate = {.ss_sp = stack, .ss_flags = 0, .ss_size = kStackBytes};
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = give_answer;
  action.sa_flags = SA_ONSTACK | SA_SIGINFO;
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &before[i]);
  set_timer(most);
}

ChildPhase::~ChildPhase() {
  set_timer({});
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
}

}  // namespace switchyard::engine
