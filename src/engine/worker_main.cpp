#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "build-info.h"
#include "engine/args.h"
#include "engine/bridge.h"
#include "engine/in_process.h"
#include "engine/local_engines.h"
#include "engine/stream_routes.h"
#include "engine/thread_budget.h"
#include "engine/worker/log_line.h"
#include "engine/worker/serve.h"
#include "telemetry/log.h"

namespace switchyard::engine {
namespace {

using worker::Channel;
using worker::StartOrder;

/// What the kernel takes first when the machine's memory runs out: a worker comes back, the server does not.
constexpr std::string_view kOomScore = "500";

class LocalSource final : public worker::EngineSource {
 public:
  [[nodiscard]] Result<std::unique_ptr<Engine>> load(const ModelSpec& spec, const Inspection& inspection,
                                                     std::unique_ptr<SlotStateKeeper> keeper,
                                                     const std::function<void(const LoadProgress&)>& progress,
                                                     const std::stop_token& stop) override {
    // The log has said why; the server learns it from the process's end.
    return engines_.load(
        spec, inspection, std::move(keeper), progress, [](const Error&) { ::_exit(1); }, stop);
  }
  [[nodiscard]] ProcessRoutes& routes() override { return *routes_; }
  [[nodiscard]] std::optional<std::uint64_t> place_of(const LoopActivity& activity) const override {
    return busy_board().place_of(activity);
  }

 private:
  LocalEngines engines_;
  const std::unique_ptr<ProcessRoutes> routes_ = make_stream_routes();
};

/// Lives as long as the server wants it to and no longer: only the server ends it, or the server's end does.
void tie_to_server() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_IGN);
  ::setenv("GGML_NO_BACKTRACE", "1", 0);  // an abort would look for a debugger first, for a second or more
  const Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const auto written = ::write(score.get(), kOomScore.data(), kOomScore.size());
}

void log_to_server() {
  telemetry::set_log_sink([](telemetry::LogLevel level, std::string_view component, std::string_view text) {
    static Mutex mutex;  // long lines are not written in one piece
    const std::string line = worker::encode_log_line(level, component, text);
    const MutexLock lock(mutex);
    for (std::string_view left = line; !left.empty();) {
      const ssize_t n = ::write(STDERR_FILENO, left.data(), left.size());
      if (n <= 0) return;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
  });
}

/// While this is the only thread: the others inherit them.
Status apply_limits(const WorkerLimits& limits) {
  if (limits.memory > ByteSize(0)) {
    const struct rlimit most = {.rlim_cur = limits.memory.bytes(), .rlim_max = limits.memory.bytes()};
    if (::setrlimit(RLIMIT_DATA, &most) != 0)
      return fail(ErrorCode::kInvalidArgument, "worker_memory cannot be set", std::strerror(errno));
  }
  if (!limits.cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const std::uint32_t cpu : limits.cpus) CPU_SET(cpu, &set);
    if (::sched_setaffinity(0, sizeof(set), &set) != 0) {
      return fail(ErrorCode::kInvalidArgument, "worker_cpus names no processor that this machine has",
                  std::strerror(errno));
    }
  }
  if (limits.nice != 0 && ::setpriority(PRIO_PROCESS, 0, limits.nice) != 0)
    return fail(ErrorCode::kPermissionDenied, "worker_nice cannot be set", std::strerror(errno));
  return {};
}

Status prepare(const StartOrder& order) {
  if (order.protocol != worker::kProtocol || order.build != ::llama_build_info()) {
    return fail(ErrorCode::kInvalidArgument,
                "the `switchyard` program that runs worker processes is of another version than this one; "
                "install them together");
  }
  telemetry::set_log_level(order.log_level);
  if (const Status applied = apply_limits(order.limits); !applied) return applied;
  if (::fcntl(worker::kBusyBoard, F_GETFD) >= 0) join_busy_board(worker::kBusyBoard);
  start_process_bridge();
  const auto cpus = static_cast<std::uint32_t>(order.limits.cpus.size());
  set_thread_budget(cpus > 0 && (order.cores == 0 || cpus < order.cores) ? cpus : order.cores);
  return apply_process_args(order.process_args);
}

}  // namespace

int run_worker() {
  int type = 0;
  socklen_t size = sizeof(type);
  if (::getsockopt(worker::kControlSocket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    fmt::print(stderr, "switchyard worker: the server starts it itself, see docs/reliability.md\n");
    return 2;
  }
  tie_to_server();
  log_to_server();
  Channel control{Fd(worker::kControlSocket)};
  const auto message = control.receive();
  if (!message) return 0;
  const auto order = worker::read_start(*message);
  const Status ready = order ? prepare(*order) : std::unexpected(order.error());
  if (!ready) {
    [[maybe_unused]] const Status sent = worker::send(control, ready.error());
    return 1;
  }
  LocalSource source;
  worker::Service service(source);
  if (control.send(worker::Kind::kDone)) service.run(control);
  // Nobody is left to tear down for.
  ::_exit(0);
}

}  // namespace switchyard::engine
