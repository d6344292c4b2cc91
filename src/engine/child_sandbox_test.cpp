#include "engine/child_sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include "engine/child_phase.h"

namespace switchyard::engine {
namespace {

struct Ended {
  int status = 0;
  std::string output;
};

/// What becomes of a process that does `action` in the sandbox, within a phase.
Ended run_inside(const std::function<void()>& action) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    if (enter_sandbox(Devices::kProcessorOnly) != Sandbox::kInForce) ::_exit(99);
    const ChildPhase phase({ErrorCode::kCorruptFile, "the phase died"});
    action();
    ::_exit(0);
  }
  ::close(ends[1]);
  Ended ended;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    ended.output.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  ::waitpid(child, &ended.status, 0);
  return ended;
}

class ChildSandbox : public testing::Test {
 protected:
  void SetUp() override {
    if (sandbox_support() != Sandbox::kInForce) GTEST_SKIP() << to_string(sandbox_support());
    if (kSanitized) GTEST_SKIP() << "a sanitizer handles SIGSYS itself";
  }
};

TEST_F(ChildSandbox, WhatAModelNeverNeedsEndsTheProcessWithAnAnswer) {
  const std::pair<const char*, std::function<void()>> table[] = {
      {"socket", [] { (void)::socket(AF_INET, SOCK_STREAM, 0); }},
      {"execve", [] { (void)::execl("/bin/true", "true", nullptr); }},
      {"fork", [] { (void)::fork(); }},
      {"ptrace", [] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
      {"write a file", [] { (void)::open("/tmp/switchyard-sandbox", O_WRONLY | O_CREAT, 0600); }},
      {"change a file", [] { (void)::open("/proc/self/comm", O_RDWR); }},
      {"unlink", [] { (void)::unlink("/tmp/switchyard-sandbox"); }},
      {"kill", [] { (void)::kill(::getppid(), 0); }}};
  for (const auto& [what, action] : table) {
    const Ended ended = run_inside(action);
    ASSERT_TRUE(WIFEXITED(ended.status)) << what;
    EXPECT_EQ(WEXITSTATUS(ended.status), kPhaseDied) << what;
    EXPECT_NE(ended.output.find("permission_denied"), std::string::npos) << what << ": " << ended.output;
  }
}

TEST_F(ChildSandbox, WhoeverWasDeniedSaysWhatItWas) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    (void)enter_sandbox(Devices::kOthersToo);
    {
      const ChildPhase over({ErrorCode::kCorruptFile, "the phase died"});
    }
    (void)::socket(AF_INET, SOCK_STREAM, 0);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::array<char, 256> said{};
  const ssize_t size = ::read(ends[0], said.data(), said.size());
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
  EXPECT_EQ(std::string(said.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))),
            fmt::format("denied: system call {}\n", SYS_socket));
}

TEST_F(ChildSandbox, ReadingThreadsAndMemoryGoOn) {
  const Ended ended = run_inside([] {
    const int file = ::open("/proc/self/maps", O_RDONLY);
    char byte = 0;
    bool fine = file >= 0 && ::read(file, &byte, 1) == 1;
    std::thread([&] { fine &= !std::string(1 << 20, 'x').empty(); }).join();
    ::_exit(fine ? 0 : 1);
  });
  EXPECT_EQ(WEXITSTATUS(ended.status), 0);
}

TEST_F(ChildSandbox, AnAbortIsStillThePhases) {
  const Ended ended = run_inside([] { std::abort(); });
  EXPECT_EQ(WEXITSTATUS(ended.status), kPhaseDied);
  EXPECT_NE(ended.output.find("the phase died"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::engine
