#include "engine/child_sandbox.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#ifdef SWITCHYARD_SECCOMP
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <initializer_list>
#include <memory>
#endif

namespace switchyard::engine {

std::string_view to_string(Sandbox sandbox) noexcept {
  switch (sandbox) {
    case Sandbox::kInForce: return "in force";
    case Sandbox::kNotBuilt: return "not built in (libseccomp was missing)";
    case Sandbox::kNotAllowed: return "not allowed by this kernel";
  }
  return "unknown";
}

void tell_denied_call(const siginfo_t& info) noexcept {
  constexpr std::string_view kWords = "denied: system call ";
  std::array<char, 40> line{};
  char* end = std::copy(kWords.begin(), kWords.end(), line.data());
  end = std::to_chars(end, line.data() + line.size() - 1, info.si_syscall).ptr;
  *end++ = '\n';
  [[maybe_unused]] const auto written =
      ::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(end - line.data()));
}

#ifndef SWITCHYARD_SECCOMP

Sandbox sandbox_support() { return Sandbox::kNotBuilt; }
Sandbox enter_sandbox(Devices) { return Sandbox::kNotBuilt; }

#else

namespace {

/// Nothing that reads a model does any of these, whatever their arguments.
constexpr int kNever[] = {
    // the network
    SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept),
    SCMP_SYS(accept4), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    // other programs and processes
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kill), SCMP_SYS(tkill),
    SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal),
    // files
    SCMP_SYS(creat), SCMP_SYS(truncate), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat),
    SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
    SCMP_SYS(chown), SCMP_SYS(fchown), SCMP_SYS(lchown), SCMP_SYS(fchownat), SCMP_SYS(mknod),
    SCMP_SYS(mknodat), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr),
    SCMP_SYS(open_by_handle_at),
    // the system, and what few programs need and many holes were in
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns),
    SCMP_SYS(unshare), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(keyctl), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd)};

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

/// open() and openat() with anything that writes or makes.
bool deny_writing(scmp_filter_ctx filter, int call, unsigned flags_at) {
  bool added = true;
  for (const int flag : {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND}) {
    const auto bits = static_cast<scmp_datum_t>(flag);
    const scmp_arg_cmp has_flag{flags_at, SCMP_CMP_MASKED_EQ, bits, bits};
    added &= seccomp_rule_add_array(filter, SCMP_ACT_TRAP, call, 1, &has_flag) == 0;
  }
  return added;
}

bool add_rules(scmp_filter_ctx filter, Devices devices) {
  bool added = true;
  for (const int call : kNever) added &= seccomp_rule_add(filter, SCMP_ACT_TRAP, call, 0) == 0;
  // Threads, but no processes. clone3's flags lie in memory, where a filter cannot look: libc goes back to
  // clone.
  const scmp_arg_cmp no_thread{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0};
  added &= seccomp_rule_add_array(filter, SCMP_ACT_TRAP, SCMP_SYS(clone), 1, &no_thread) == 0;
  added &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
  added &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0) == 0;
  // abort() signals itself and nobody else.
  const scmp_arg_cmp somebody_else{0, SCMP_CMP_NE, static_cast<scmp_datum_t>(::getpid()), 0};
  added &= seccomp_rule_add_array(filter, SCMP_ACT_TRAP, SCMP_SYS(tgkill), 1, &somebody_else) == 0;
  if (devices == Devices::kProcessorOnly) {
    added &= deny_writing(filter, SCMP_SYS(open), 1);
    added &= deny_writing(filter, SCMP_SYS(openat), 2);
  }
  return added;
}

/// Outside of a phase: it ends the process as it would have without, but says why.
void on_denied(int signal, siginfo_t* info, void* /*context*/) {
  tell_denied_call(*info);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

Sandbox sandbox_support() {
  return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 ? Sandbox::kInForce : Sandbox::kNotAllowed;
}

Sandbox enter_sandbox(Devices devices) {
  struct sigaction action = {};
  action.sa_sigaction = on_denied;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, nullptr);
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW));
  const bool loaded =
      filter != nullptr && add_rules(filter.get(), devices) && seccomp_load(filter.get()) == 0;
  return loaded ? Sandbox::kInForce : Sandbox::kNotAllowed;
}

#endif

}  // namespace switchyard::engine
