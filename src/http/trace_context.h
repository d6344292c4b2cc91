#pragma once

#include <optional>
#include <string>
#include <string_view>

// Names that follow one request through several programs.

namespace switchyard::http {

/// W3C Trace Context: where one request stands in its trace. Lower-case hex.
struct TraceContext {
  std::string trace_id;   ///< 32 digits
  std::string span_id;    ///< 16: of what is done here
  std::string parent_id;  ///< 16: of whoever asked; empty when the trace begins here
  std::string flags = "00";

  /// As it is passed on, with what is done here as the parent.
  [[nodiscard]] std::string traceparent() const { return "00-" + trace_id + "-" + span_id + "-" + flags; }
};

/// The context that a `traceparent` header gives, without a span of its own. Empty for one that is malformed.
[[nodiscard]] std::optional<TraceContext> parse_traceparent(std::string_view header);

/// Goes on with the trace of `header`; a malformed or missing one is ignored and a new trace begins.
[[nodiscard]] TraceContext begin_span(std::string_view header);

/// The client's own `x-request-id` where it is a plain word of at most 128 characters, else a new one.
[[nodiscard]] std::string request_id(std::string_view given);

}  // namespace switchyard::http
