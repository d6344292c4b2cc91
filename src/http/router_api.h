#pragma once

#include <optional>
#include <string>

#include "http/downloads.h"
#include "http/event_streams.h"
#include "http/json.h"
#include "http/openai.h"
#include "http/router.h"
#include "http/services.h"

namespace switchyard::http {

/// llama-server's router: the list of models, loading and unloading, downloads, its events and /props.
/// With --model it is llama-server's one-model face instead.
class RouterApi {
 public:
  RouterApi(Services& services, EventStreams& streams, OpenAiApi& openai, Downloads& downloads)
      : services_(services), streams_(streams), openai_(openai), downloads_(downloads) {}
  void add_routes(Router& router);

 private:
  void list(RouteCall call);
  void answer_list(const ExchangePtr& exchange, const tenants::KeyPtr& key);
  void load(RouteCall call);
  void unload(RouteCall call);
  void props(RouteCall call);
  [[nodiscard]] std::optional<Json> props_of_parked(const std::string& name) const;
  void start_download(RouteCall call);
  void remove(RouteCall call);

  Services& services_;
  EventStreams& streams_;
  OpenAiApi& openai_;
  Downloads& downloads_;
};

}  // namespace switchyard::http
