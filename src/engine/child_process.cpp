#include "engine/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/fd.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX wants it declared

namespace switchyard::engine {
namespace {

constexpr std::size_t kErrorTail = 2048;
constexpr int kPollMs = 50;  // how soon a stop request is seen

struct Pipe {
  Fd read;
  Fd write;
};

bool make_pipe(Pipe& pipe) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return false;
  pipe.read = Fd(fds[0]);
  pipe.write = Fd(fds[1]);
  return true;
}

/// Ends the child, if it still runs, and collects it.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

Result<pid_t> spawn(const std::string& program, const std::vector<std::string>& args, const Pipe& in,
                    const Pipe& out, const Pipe& err) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return fail(ErrorCode::kInternal, fmt::format("cannot start the helper {}", program),
                std::strerror(error));
  }
  return pid;
}

/// Appends what can be read; closes at the end of the stream.
void drain(Fd& fd, std::string& into) {
  std::array<char, 16384> buffer{};
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n > 0) {
    into.append(buffer.data(), static_cast<std::size_t>(n));
  } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
    fd.reset();
  }
}

}  // namespace

Result<ChildResult> run_child(const std::string& program, const std::vector<std::string>& args,
                              const std::string& input, std::chrono::milliseconds limit,
                              const std::stop_token& stop) {
  Pipe in;
  Pipe out;
  Pipe err;
  if (!make_pipe(in) || !make_pipe(out) || !make_pipe(err)) {
    return fail(ErrorCode::kInternal, "cannot make a pipe for the helper: raise the limit of open files",
                std::strerror(errno));
  }
  const auto pid = spawn(program, args, in, out, err);
  if (!pid) return std::unexpected(pid.error());
  Child child(*pid);
  in.read.reset();
  out.write.reset();
  err.write.reset();
  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);

  ChildResult result;
  std::size_t written = 0;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (out.read.open() || err.read.open()) {
    if (stop.stop_requested()) return fail(ErrorCode::kCancelled, "cancelled");
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorCode::kTimeout,
                  fmt::format("the helper did not answer within {} s", limit.count() / 1000));
    }
    if (in.write.open() && written == input.size()) in.write.reset();
    std::array<pollfd, 3> fds{
        {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}, {in.write.get(), POLLOUT, 0}}};
    if (::poll(fds.data(), fds.size(), kPollMs) <= 0) continue;
    if (fds[0].revents != 0) drain(out.read, result.output);
    if (fds[1].revents != 0) drain(err.read, result.error_tail);
    if (result.error_tail.size() > 2 * kErrorTail)
      result.error_tail.erase(0, result.error_tail.size() - kErrorTail);
    if (fds[2].revents != 0) {
      const ssize_t n = ::write(in.write.get(), input.data() + written, input.size() - written);
      if (n > 0) written += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN && errno != EINTR) in.write.reset();
    }
  }
  const int status = child.wait();
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

}  // namespace switchyard::engine
