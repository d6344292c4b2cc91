#pragma once

#include <map>
#include <string>
#include <string_view>

#include "switchyard/result.h"

// Decoding of request targets and form fields: pure functions, any thread.

namespace switchyard::http {

/// The parts of a request target; see Request for what each one is.
struct Target {
  std::string path;
  std::string raw_path;
  std::string raw_query;
  std::multimap<std::string, std::string> query;
};

/// Takes "/path?query", "http://host/path?query" and "*"; a fragment is dropped. Errors
/// (kInvalidArgument): another form, a bad percent escape in the path, NUL or a control character.
[[nodiscard]] Result<Target> parse_target(std::string_view target);

/// "a=1&b=x+y%21": '+' is a space and a broken escape stands for itself, as in cpp-httplib; pairs with
/// an empty name are dropped.
[[nodiscard]] std::multimap<std::string, std::string> parse_query(std::string_view query);

/// Percent-decodes strictly. Errors: kInvalidArgument for a '%' without two hexadecimal digits.
[[nodiscard]] Result<std::string> decode_percent(std::string_view text);

}  // namespace switchyard::http
