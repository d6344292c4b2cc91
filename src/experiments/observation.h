#pragma once

#include <optional>
#include <string>

namespace switchyard::experiments {

/// What experiments want to know of a request once it is over. Times are in seconds.
struct Observation {
  std::string name;             ///< what the client asked for
  std::string version;          ///< model@version that answered, or should have
  std::string request_id = {};  ///< by which feedback will find it
  std::string subject = {};     ///< for whom it was assigned; empty: each request by itself
  std::string path = {};
  std::string segment = {};  ///< the value of Recorder::segment_header(); empty: it had none
  bool streamed = false;
  std::optional<double> latency = {}, first_token = {}, tokens_per_second = {};  ///< of good replies
  std::optional<bool> failed = {};  ///< by the server's fault; nothing where that cannot be said
};

/// What a client says of a reply it had.
struct Feedback {
  std::string request_id;
  std::optional<double> score = {};
  std::optional<bool> converted = {};
};

}  // namespace switchyard::experiments
