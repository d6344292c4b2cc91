#include "http/router.h"

#include <optional>
#include <utility>

#include "http/front/target.h"

namespace switchyard::http {
namespace {

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

std::optional<PathParams> match_pattern(std::string_view pattern, std::string_view raw_path) {
  const auto wanted = segments(pattern.substr(1));
  const auto given = segments(raw_path.substr(1));
  if (wanted.size() != given.size()) return std::nullopt;
  PathParams params;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    auto decoded = decode_percent(given[i]);
    if (!decoded || decoded->empty()) return std::nullopt;
    if (wanted[i].starts_with(':')) {
      params[std::string(wanted[i].substr(1))] = std::move(*decoded);
    } else if (wanted[i] != *decoded) {
      return std::nullopt;
    }
  }
  return params;
}

}  // namespace

std::string RouteCall::who() const {
  const std::string& remote = request().remote;
  return remote.empty() ? "api" : "api from " + remote.substr(0, remote.rfind(':'));
}

void Router::add(std::string method, std::string pattern, RouteHandler handler, Access access,
                 WhenCrowded when_crowded) {
  if (pattern.find("/:") == std::string::npos) {
    exact_[method + " " + pattern] = routes_.size();
  } else {
    patterns_.push_back(routes_.size());
  }
  routes_.push_back({std::move(method), std::move(pattern), access, std::move(handler), when_crowded});
}

Router::Match Router::match(std::string_view method, std::string_view raw_path) const {
  if (method == "HEAD") method = "GET";
  if (!raw_path.starts_with('/')) return {};
  const auto path = decode_percent(raw_path);
  if (!path) return {};
  const auto found = exact_.find(std::string(method) + " " + *path);
  if (found != exact_.end()) return {&routes_[found->second], {}};
  for (const std::size_t index : patterns_) {
    const Route& route = routes_[index];
    if (route.method != method) continue;
    if (auto params = match_pattern(route.pattern, raw_path)) return {&route, std::move(*params)};
  }
  return {};
}

}  // namespace switchyard::http
