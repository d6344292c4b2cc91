#pragma once

#include <functional>
#include <map>
#include <string>

#include "gateway/request_record.h"
#include "models/types.h"
#include "switchyard/result.h"

namespace switchyard::gateway {

struct ReplyHead {
  int status = 200;
  std::string content_type;
  std::map<std::string, std::string> headers;
  models::VersionRef version;     ///< who answers; empty for a reply that no engine gave
  models::VersionRef instead_of;  ///< whom it stands in for, as a fallback; empty where it does not
};

/// What a stream's own end mark says of the bytes written so far.
enum class Ending : std::uint8_t {
  kWhole,    ///< the mark has been written: `data: [DONE]`, `event: message_stop`, ...
  kCut,      ///< this kind of stream has a mark and it is missing
  kUnknown,  ///< this kind of stream has none
};

/// Where one reply goes: the client's side of a request, in the client's dialect. Exactly one of
/// respond(), fail(), or start() with finish() or fail() after it is called, by one thread at a time.
/// client_gone() and on_client_gone() may be called by any thread at any time.
class ReplySink {
 public:
  virtual ~ReplySink() = default;

  /// A whole reply.
  virtual void respond(ReplyHead head, std::string body) = 0;
  /// What is known of a reply that nobody waits for any more: before fail(), in the place of respond().
  virtual void note(const ReplyHead& /*head*/) {}
  /// The head of a stream.
  virtual void start(ReplyHead head) = 0;
  /// Bytes of the stream. False when the reader is slow: take when_writable() before the next write.
  virtual bool write(std::string bytes) = 0;
  virtual void when_writable(std::function<void()> resume) = 0;
  [[nodiscard]] virtual Ending ending() const = 0;
  /// What the reply has said so far of its tokens.
  [[nodiscard]] virtual TokenCounts tokens() const = 0;
  virtual void finish() = 0;
  /// Before start(): the dialect's error reply. After: its error frame, then the end.
  virtual void fail(const Error& error) = 0;

  [[nodiscard]] virtual bool client_gone() const = 0;
  virtual void on_client_gone(std::function<void()> callback) = 0;
};

}  // namespace switchyard::gateway
