#include "engine/worker/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <future>
#include <utility>

#include "engine/worker/log_line.h"
#include "engine/worker/serve.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX wants it declared

namespace switchyard::engine::worker {
namespace {

constexpr std::chrono::seconds kEndsWithin{10};
constexpr std::chrono::seconds kDiesWithin{1};
constexpr std::size_t kLongestLine = std::size_t{64} << 10;
constexpr std::size_t kLongestWords = 600;

/// Closes everything but the standard files and the control socket: sockets of clients, which must not stay
/// open in a child, among them.
Result<pid_t> spawn(const std::string& program, const Fd& control, const Fd& log, int board) {
  const std::string word = "worker";
  const std::array<char*, 3> argv{const_cast<char*>(program.c_str()), const_cast<char*>(word.c_str()),
                                  nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, log.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, control.get(), kControlSocket);
  if (board >= 0) posix_spawn_file_actions_adddup2(&actions, board, kBusyBoard);
  posix_spawn_file_actions_addclosefrom_np(&actions, board >= 0 ? kBusyBoard + 1 : kBusyBoard);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);  // a signal to the server's group is not for it
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return fail(ErrorCode::kInternal, fmt::format("cannot start the worker process {}", program),
                std::strerror(error));
  }
  return pid;
}

std::int64_t nanoseconds(const timeval& time) { return time.tv_sec * 1'000'000'000 + time.tv_usec * 1'000; }

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    return fmt::format("was ended by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

/// What the watcher and the owner share.
struct WorkerProcess::Child {
  Child(std::string of_name, BusyBoard& joined) : name(std::move(of_name)), board(joined) {}

  /// The watcher's thread: it is the child's parent, and the kernel ends the child when this thread ends.
  void watch(const std::string& program, Fd control, Fd log, Fd log_end,
             std::promise<Result<pid_t>> started) {
    ::pthread_setname_np(::pthread_self(), "worker-watch");
    const auto spawned = spawn(program, control, log_end, board.fd());
    control.reset();
    log_end.reset();
    if (spawned) {
      const MutexLock lock(mutex);
      pid = *spawned;
    }
    started.set_value(spawned);
    if (!spawned) return;
    pass_on_log(log);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(*spawned), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    reap(*spawned);
  }

  void pass_on_log(const Fd& log) {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t n = ::read(log.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(n));
      std::size_t begin = 0;
      for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
        log_line(std::string_view(text).substr(begin, end - begin));
        begin = end + 1;
      }
      text.erase(0, begin);
      if (text.size() > kLongestLine) log_line(std::exchange(text, {}));
    }
    if (!text.empty()) log_line(text);
  }

  void log_line(std::string_view line) {
    const LogLine decoded = decode_log_line(line, name);
    telemetry::log_line(decoded.level, decoded.component, decoded.text);
    if (decoded.level != telemetry::LogLevel::kError) return;
    last_words += (last_words.empty() ? "" : "; ") + decoded.text;
    if (last_words.size() > kLongestWords) last_words.erase(0, last_words.size() - kLongestWords);
  }

  void reap(pid_t child) {
    int status = 0;
    bool unexpected = false;
    telemetry::LogLevel level = telemetry::LogLevel::kError;
    rusage used{};
    {
      const MutexLock lock(mutex);
      ::wait4(child, &status, 0, &used);
      pid = 0;
      unexpected = !let_go;
      if (killed) level = telemetry::LogLevel::kInfo;  // by us
      why = {ErrorCode::kUnavailable,
             fmt::format("the worker process of {} {}; the next request starts another one", name,
                         how_it_ended(status)),
             last_words};
      ended.notify_all();
    }
    board.clear(child, nanoseconds(used.ru_utime) + nanoseconds(used.ru_stime));
    if (unexpected) {
      telemetry::log_line(level, "worker", fmt::format("{}: its process {}", name, how_it_ended(status)));
      died.request_stop();
    }
    const MutexLock lock(mutex);
    told = true;
    ended.notify_all();
  }

  void kill() {
    const MutexLock lock(mutex);
    killed = true;
    if (pid > 0) ::kill(pid, SIGKILL);
  }

  const std::string name;
  BusyBoard& board;
  std::string last_words;  // the watcher's alone
  std::stop_source died;
  Mutex mutex;
  CondVar ended;
  pid_t pid GUARDED_BY(mutex) = 0;
  bool let_go GUARDED_BY(mutex) = false;
  bool killed GUARDED_BY(mutex) = false;
  bool told GUARDED_BY(mutex) = false;  ///< the end, to all who listen to died()
  Error why GUARDED_BY(mutex) = {ErrorCode::kUnavailable, "the worker process does not answer"};
};

WorkerProcess::WorkerProcess(std::shared_ptr<Child> child, Channel control)
    : child_(std::move(child)), control_(std::move(control)) {}

Result<std::shared_ptr<Worker>> WorkerProcess::start(const Launch& launch, const StartOrder& order) {
  auto sockets = Channel::make_pair();
  std::array<int, 2> pipe{};
  if (!sockets || ::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::kUnavailable, "cannot start a worker process: raise the limit of open files");
  }
  std::shared_ptr<WorkerProcess> worker(
      new WorkerProcess(std::make_shared<Child>(launch.name, launch.board), std::move(sockets->first)));
  std::promise<Result<pid_t>> promise;
  auto started = promise.get_future();
  worker->watcher_ =
      std::thread([child = worker->child_, program = launch.program, log = Fd(pipe[0]), log_end = Fd(pipe[1]),
                   control = std::move(sockets->second), promise = std::move(promise)]() mutable {
        child->watch(program, control.take(), std::move(log), std::move(log_end), std::move(promise));
      });
  if (const auto pid = started.get(); !pid) return std::unexpected(pid.error());
  const auto answer = [&]() -> Result<Message> {
    const MutexLock lock(worker->control_mutex_);
    if (const Status sent = send(worker->control_, order); !sent) return std::unexpected(sent.error());
    return worker->control_.receive();
  }();
  if (!answer) {
    worker->kill();  // of no effect on one that is dying already
    return std::unexpected(worker->why_silent());
  }
  if (answer->kind == Kind::kError) return std::unexpected(read_error(*answer));
  return worker;
}

WorkerProcess::~WorkerProcess() {
  {
    const MutexLock lock(child_->mutex);
    child_->let_go = true;
  }
  {
    const MutexLock lock(control_mutex_);
    control_.hang_up();
  }
  {
    const MutexLock lock(child_->mutex);
    const auto deadline = std::chrono::steady_clock::now() + kEndsWithin;
    while (child_->pid > 0 && child_->ended.wait_until(child_->mutex, deadline)) {
    }
  }
  kill();
  if (!watcher_.joinable()) return;
  if (watcher_.get_id() == std::this_thread::get_id())  // let go by a callback of died()
    watcher_.detach();
  else
    watcher_.join();
}

Result<Channel> WorkerProcess::open() {
  auto call = Channel::make_pair();
  if (!call) return std::unexpected(call.error());
  Status given;
  {
    const MutexLock lock(control_mutex_);
    given = control_.send_socket(call->second);
  }
  if (!given) return std::unexpected(why_silent());
  return std::move(call->first);
}

std::stop_token WorkerProcess::died() const { return child_->died.get_token(); }

Error WorkerProcess::why() const {
  const MutexLock lock(child_->mutex);
  return child_->why;
}

Error WorkerProcess::why_silent() const {
  const auto deadline = std::chrono::steady_clock::now() + kDiesWithin;
  const MutexLock lock(child_->mutex);
  while (!child_->told && child_->ended.wait_until(child_->mutex, deadline)) {
  }
  return child_->why;
}

bool WorkerProcess::usable() const {
  const MutexLock lock(child_->mutex);
  return child_->pid > 0 && !child_->killed;
}

std::shared_ptr<const LoopActivity> WorkerProcess::activity(std::uint64_t place) const {
  return child_->board.activity_at(place);
}

void WorkerProcess::kill() { child_->kill(); }

}  // namespace switchyard::engine::worker
