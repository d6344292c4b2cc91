#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switchyard/result.h"

// What the server and a worker process say to each other. Both are the same program on the same machine,
// so numbers travel as they lie in memory; what cannot be a message is an error all the same.

namespace switchyard::engine::worker {

using Bytes = std::vector<std::uint8_t>;

/// Raise it with every change of what messages hold.
constexpr std::uint64_t kProtocol = 4;

/// Every call has a socket of its own: the server's first message on it says what is asked for.
enum class Kind : std::uint8_t {
  kStart = 1,     ///< once, on the control socket, before any call: kDone or kError
  kLoad,          ///< kProgress ..., then kLoaded or kError
  kHandle,        ///< kHead, and for a stream kChunk ..., kLastChunk
  kHandleStream,  ///< the same, by the handlers of resumable streams
  kSample,        ///< kSampled
  kProbe,         ///< kDone or kError
  kReleasePages,  ///< kDone with the bytes
  kEndEngine,     ///< kDone
  kEndWeights,    ///< kDone
  kProgress,
  kLoaded,
  kHead,
  kChunk,
  kLastChunk,
  kSampled,
  kDone,
  kError,
  // Asked by the worker on the socket of a load, for as long as its engine lives.
  kFind,      ///< kFound, with a state or without
  kMakeRoom,  ///< kDone
  kPut,
  kRestored,
  kFound,
};
constexpr auto kLastKind = Kind::kFound;

/// `fields` is small and made by FieldWriter; `blobs` are what may be large.
struct Message {
  Kind kind = Kind::kError;
  std::string fields = {};
  std::vector<Bytes> blobs = {};
};

/// Numbers and texts, one after the other.
class FieldWriter {
 public:
  FieldWriter& number(std::uint64_t value);
  FieldWriter& real(double value);
  FieldWriter& text(std::string_view value);
  [[nodiscard]] std::string take() { return std::move(fields_); }

 private:
  std::string fields_;
};

/// The same, read in the same order. What is not there reads as 0 or nothing, and complete() says so.
class FieldReader {
 public:
  explicit FieldReader(std::string_view fields) : rest_(fields) {}
  std::uint64_t number();
  double real();
  std::string text();
  /// Nothing was missing and nothing is left.
  [[nodiscard]] bool complete() const { return !missing_ && rest_.empty(); }
  [[nodiscard]] bool missing() const { return missing_; }

 private:
  std::string_view take(std::size_t size);

  std::string_view rest_;
  bool missing_ = false;
};

/// What stands before a message's fields and blobs.
[[nodiscard]] std::string message_head(Kind kind, std::size_t fields, std::span<const std::size_t> blobs);

/// Fills all of `to`, or says why it cannot.
using ByteSource = std::function<Status(std::span<std::uint8_t> to)>;

/// One message from `source`. Errors: the source's; kInternal for what is no message. Sizes are not believed:
/// memory is taken as the bytes come.
[[nodiscard]] Result<Message> read_message(const ByteSource& source);

}  // namespace switchyard::engine::worker
