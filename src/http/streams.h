#pragma once

#include "http/engine_sink.h"
#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// Resumable streams: a reply that was asked for with X-Conversation-Id can be read again, also after
/// its client went away, until somebody stops it.
class StreamsApi {
 public:
  explicit StreamsApi(Services& services) : services_(services) {}
  void add_routes(Router& router);

 private:
  void read(RouteCall call);
  void lookup(RouteCall call);
  void stop(RouteCall call);
  void pass_on(RouteCall call, engine::Request request, EngineSink::Rewrite rewrite = {});

  Services& services_;
};

}  // namespace switchyard::http
