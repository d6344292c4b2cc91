#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <utility>

#include "switchyard/result.h"

namespace switchyard::http {

using Json = nlohmann::json;

/// JSON text; bytes that are not UTF-8 become U+FFFD instead of an exception.
[[nodiscard]] inline std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The text of a long JSON array, item after item: a tree of them all takes several times the memory of
/// its text.
class ArrayText {
 public:
  void add(const Json& item) {
    text_ += text_.empty() ? '[' : ',';
    text_ += to_text(item);
  }
  [[nodiscard]] std::string take() && { return text_.empty() ? "[]" : std::move(text_) + "]"; }

 private:
  std::string text_;
};

/// The JSON object of a control request's body, or what is wrong and where; see route_control_body().
[[nodiscard]] Result<Json> parse_object(std::string_view text);

}  // namespace switchyard::http
