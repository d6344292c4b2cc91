#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace switchyard {

/// What kind of thing went wrong. Behaviour depends on the code, never on the message.
/// Codes tell "never possible as asked" (kInvalidArgument, kDoesNotFit, kCorruptFile, ...) from
/// "not now" (kOverloaded, kUnavailable, kTimeout).
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,          ///< the request itself is wrong (HTTP 400)
  kUnauthenticated,          ///< no key, or an unknown one (HTTP 401)
  kPermissionDenied,         ///< the key may not do this (HTTP 403)
  kNotFound,                 ///< no such model, version, alias or file (HTTP 404)
  kConflict,                 ///< true of another state: already loaded, in use (HTTP 409)
  kTooLarge,                 ///< body or file over a configured limit (HTTP 413)
  kOverloaded,               ///< more wait than may; try again in a moment (HTTP 429)
  kCorruptFile,              ///< truncated, damaged or not a GGUF file (HTTP 422)
  kUnsupportedArchitecture,  ///< a sound GGUF of an architecture that llama.cpp does not know (HTTP 422)
  kDoesNotFit,               ///< larger than the budget even with everything else evicted (HTTP 507)
  kCancelled,                ///< somebody asked for it to stop (HTTP 499)
  kUnavailable,              ///< not now; try again (HTTP 503)
  kTimeout,                  ///< waited as long as allowed (HTTP 504)
  kUnimplemented,            ///< known, and not done by this build (HTTP 501)
  kInternal,                 ///< a bug or a broken machine (HTTP 500)
};

/// Stable lower-case name of a code ("not_found"), for JSON, logs and metrics.
[[nodiscard]] std::string_view to_string(ErrorCode code) noexcept;

/// The HTTP status that fits a code.
[[nodiscard]] int http_status(ErrorCode code) noexcept;

/// An error as a value. `message` is one sentence for a person that says what to do next where
/// there is something to do; `cause` is what a lower layer said, possibly empty.
struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string cause = {};

  /// "message (cause)" or just the message.
  [[nodiscard]] std::string to_string() const;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// `return fail(ErrorCode::kNotFound, "...")` in a function that returns any Result<T>.
[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message,
                                                 std::string cause = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(cause)});
}

}  // namespace switchyard
