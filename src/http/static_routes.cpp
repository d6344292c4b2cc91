#include "http/static_routes.h"

#include "http/errors.h"
#include "http/openapi_document.h"

namespace switchyard::http {

namespace {

/// The document with the address that this server is reached under.
std::string openapi_document(const std::string& api_prefix) {
  if (api_prefix.empty()) return std::string(kOpenApiDocument);
  Json document = Json::parse(kOpenApiDocument);
  document["servers"] = Json::array({{{"url", api_prefix}}});
  return to_text(document);
}

}  // namespace

void add_static_routes(Router& router, const std::string& version, const std::string& api_prefix) {
  router.add(
      "GET", "/",
      [version](const RouteCall& call) {
        call.exchange->respond(json_reply({{"name", "switchyard"},
                                           {"version", version},
                                           {"about",
                                            "Serves several GGUF models with llama.cpp in one process. "
                                            "There is no web page; this is the API."},
                                           {"api", "/v1"},
                                           {"models", "/v1/models"},
                                           {"admin", "/admin/v1/models"},
                                           {"openapi", "/openapi.json"}}));
      },
      Access::kAnyKey);
  router.add(
      "GET", "/openapi.json",
      [document = openapi_document(api_prefix)](const RouteCall& call) {
        Response reply;
        reply.content_type = "application/json";
        reply.body = document;
        call.exchange->respond(std::move(reply));
      },
      Access::kAnyKey);
  for (const char* method : {"GET", "POST"}) {
    for (const char* path : {"/tools", "/cors-proxy"}) {
      router.add(
          method, path,
          [](const RouteCall& call) {
            // llama-server's own words for a feature whose flag was not given.
            call.exchange->respond(json_reply(
                {{"error", {{"message", "this feature is disabled"}, {"type", "feature_disabled"}}}}, 403));
          },
          Access::kAnyKey);
    }
  }
}

}  // namespace switchyard::http
