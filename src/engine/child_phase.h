#pragma once

#include <chrono>
#include <string>

#include "switchyard/result.h"

namespace switchyard::engine {

/// A sanitizer makes everything slower and its shadow memory counts as this process's.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// The exit status of an inspection child that died in a ChildPhase; its output is the phase's answer.
constexpr int kPhaseDied = 3;

/// For the inspection child only: while it lives, a crash of this process, an abort, or more
/// processor time than `most` ends the process with `error` as its answer on standard output, and what the
/// sandbox denies (child_sandbox.h) with kPermissionDenied. A crafted file can make a parser spin, overflow
/// its stack or assert; the message says during what. One at a time, on the main thread.
class ChildPhase {
 public:
  explicit ChildPhase(const Error& error, std::chrono::milliseconds most = {});
  ~ChildPhase();
  ChildPhase(const ChildPhase&) = delete;
  ChildPhase& operator=(const ChildPhase&) = delete;
};

}  // namespace switchyard::engine
