#pragma once

#include <csignal>
#include <cstdint>
#include <string_view>

namespace switchyard::engine {

/// Whether inspections run in a sandbox.
enum class Sandbox : std::uint8_t {
  kInForce,
  kNotBuilt,    ///< built without libseccomp
  kNotAllowed,  ///< the kernel has no system call filters, or does not give us one
};
[[nodiscard]] std::string_view to_string(Sandbox sandbox) noexcept;

/// What enter_sandbox() would say, as far as that is known without entering.
[[nodiscard]] Sandbox sandbox_support();

/// Takes from this process, for ever, what reading a model needs at no time: the network, other programs and
/// processes, writing or renaming files, and the kernel's less trodden paths. Files that are open go on. An
/// attempt ends the process: within a ChildPhase with an answer that says so, else by SIGSYS. For the
/// inspection child, before it reads a file that it does not trust; call once, from the main thread.
///
/// Device nodes may be opened for writing where `devices` says that there are others than the processor.
enum class Devices : std::uint8_t { kProcessorOnly, kOthersToo };
[[nodiscard]] Sandbox enter_sandbox(Devices devices);

/// For a handler of SIGSYS: says on standard error which system call it was.
void tell_denied_call(const siginfo_t& info) noexcept;

}  // namespace switchyard::engine
