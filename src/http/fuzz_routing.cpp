#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "http/body_routing.h"
#include "http/json.h"

// libFuzzer: routing must read every body without harm, and see the model that the engine will see.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using switchyard::http::Json;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto routing = switchyard::http::route_body(body);
  const Json whole = Json::parse(body, nullptr, false);
  if (routing && !whole.is_object()) std::abort();
  if (!routing) {
    // Refused on purpose: too many brackets (in texts they may come as escapes), or a model that is no text.
    const auto brackets =
        std::ranges::count_if(body, [](char c) { return std::string_view("([{\\").contains(c); });
    const bool deep = brackets > static_cast<std::ptrdiff_t>(switchyard::http::kDeepestJson);
    const bool odd_model = whole.is_object() && whole.contains("model") && !whole["model"].is_string() &&
                           !whole["model"].is_null();
    if (whole.is_object() && !deep && !odd_model) std::abort();
    return 0;
  }
  const auto model = whole.find("model");
  const std::string expected = model != whole.end() && model->is_string() ? model->get<std::string>() : "";
  if (routing->model != expected) std::abort();
  return 0;
}
