#include "http/body_routing.h"

#include <utility>

#include "http/json.h"

namespace switchyard::http {
namespace {

/// Keeps the values of a few keys of the outermost object; walks over everything else.
class RoutingReader final : public nlohmann::json_sax<Json> {
 public:
  BodyRouting found;
  bool outermost_is_object = false;
  bool outermost_is_array = false;
  std::string error;

  bool null() override { return other_value(); }
  bool number_integer(number_integer_t) override { return other_value(); }
  bool number_unsigned(number_unsigned_t) override { return other_value(); }
  bool number_float(number_float_t, const string_t&) override { return other_value(); }
  bool binary(binary_t&) override { return other_value(); }

  bool boolean(bool value) override {
    if (depth_ != 1) return true;
    if (key_ == Key::kStream) found.stream = value;
    if (key_ == Key::kWait) found.wait = value;
    if (key_ == Key::kModel) found.model.clear();
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 1 && key_ == Key::kModel) found.model = std::move(value);
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0) outermost_is_object = true;
    other_value();
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 0) outermost_is_array = true;
    other_value();
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    key_ = name == "model"    ? Key::kModel
           : name == "stream" ? Key::kStream
           : name == "wait"   ? Key::kWait
                              : Key::kOther;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error = e.what();
    return false;
  }

 private:
  enum class Key : std::uint8_t { kOther, kModel, kStream, kWait };

  bool other_value() {
    if (depth_ == 1 && key_ == Key::kModel) found.model.clear();
    return true;
  }

  std::size_t depth_ = 0;
  Key key_ = Key::kOther;
};

}  // namespace

Result<BodyRouting> route_body(std::string_view body, Outermost outermost) {
  RoutingReader reader;
  if (!Json::sax_parse(body, &reader)) {
    return fail(ErrorCode::kInvalidArgument, "the request body is not valid JSON", std::move(reader.error));
  }
  const bool array_will_do = outermost == Outermost::kObjectOrArray && reader.outermost_is_array;
  if (!reader.outermost_is_object && !array_will_do) {
    return fail(ErrorCode::kInvalidArgument, "the request body must be a JSON object");
  }
  return std::move(reader.found);
}

}  // namespace switchyard::http
