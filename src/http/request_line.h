#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "gateway/request_record.h"
#include "http/server.h"
#include "http/trace_context.h"

namespace switchyard::http {

/// What of requests goes to the log.
struct RequestLog {
  bool requests = true;  ///< a line each
  bool prompts = false;  ///< their bodies in it
};

/// The log's line about one request. Written when the last who works for the request lets go of it: at
/// information level where it asked for a model, changed something or failed, else at debug level. Without
/// what the request carried: no header, no query, no body, unless prompts are asked for. Any thread.
class RequestLine {
 public:
  RequestLine(const Request& request, const RequestLog& log);
  ~RequestLine();
  RequestLine(const RequestLine&) = delete;
  RequestLine& operator=(const RequestLine&) = delete;

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const TraceContext& trace() const { return trace_; }

  /// Whose key it carried.
  void asked_by(const std::string& tenant);
  void answered(int status, std::uint64_t bytes);
  void sent(std::uint64_t bytes);
  /// What became of it where an engine was asked for: counts more than the two above.
  void asked_engine(const gateway::RequestRecord& record);

 private:
  const RequestLog log_;
  const std::string id_;
  const TraceContext trace_;
  const std::string method_;
  const std::string path_;
  const std::string remote_;
  const std::string prompt_;
  const TimePoint began_;

  Mutex mutex_;
  std::string tenant_ GUARDED_BY(mutex_);
  int status_ GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::optional<gateway::RequestRecord> record_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::http
