#include "http/cors.h"

#include <ranges>

namespace switchyard::http {

bool is_local_origin(std::string_view origin) {
  const auto scheme_end = origin.find("://");
  if (scheme_end == std::string_view::npos) return false;
  if (const auto scheme = origin.substr(0, scheme_end); scheme != "http" && scheme != "https") return false;
  std::string_view authority = origin.substr(scheme_end + 3);
  authority = authority.substr(0, authority.find('/'));
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  std::string_view host = authority.substr(0, authority.find(':'));
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return false;
    host = authority.substr(1, close - 1);
  }
  return host == "localhost" || host == "127.0.0.1" || host == "::1";
}

Headers cors_headers(const CorsOptions& options, std::string_view origin) {
  constexpr auto kName = "Access-Control-Allow-Origin";
  const bool reflect = (options.credentials && options.origins == "*") ||
                       (options.origins == "localhost" && is_local_origin(origin));
  if (reflect) return origin.empty() ? Headers{} : Headers{{kName, std::string(origin)}};
  if (options.origins == "localhost") return {};
  if (!options.origins.contains(',')) return {{kName, options.origins}};
  // Browsers take one origin, so of several it is the one that asks.
  for (const auto part : std::views::split(options.origins, ',')) {
    std::string_view allowed(part.begin(), part.end());
    while (allowed.starts_with(' ')) allowed.remove_prefix(1);
    while (allowed.ends_with(' ')) allowed.remove_suffix(1);
    if (!origin.empty() && allowed == origin) return {{kName, std::string(origin)}, {"Vary", "Origin"}};
  }
  return {{"Vary", "Origin"}};
}

Response cors_preflight(const CorsOptions& options) {
  Response reply;
  reply.content_type = "text/html";
  reply.headers = {{"Access-Control-Allow-Credentials", options.credentials ? "true" : "false"},
                   {"Access-Control-Allow-Methods", options.methods},
                   {"Access-Control-Allow-Headers", options.headers}};
  return reply;
}

}  // namespace switchyard::http
