#include "http/body_routing.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "http/json.h"

namespace switchyard::http {
namespace {

/// Texts that llama.cpp parses again, whose brackets it walks recursively.
constexpr std::array<std::string_view, 4> kParsedTexts{"arguments", "grammar", "pattern", "value"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// The most brackets that stand open at one place of `text`, whatever is quoted in it.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  for (const char c : text) {
    if (c == '(' || c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
  }
  return deepest;
}

/// What is none of OpenAI's names is as if it were not there: llama-server does not look at it at all.
gateway::Tier tier_of(std::string_view name) {
  return name == "priority" ? gateway::Tier::kPriority
         : name == "flex"   ? gateway::Tier::kFlex
                            : gateway::Tier::kDefault;
}

/// What OpenAI's APIs, Anthropic's and llama-server's own call the most tokens of a reply.
constexpr std::array<std::string_view, 4> kMostTokens{"max_tokens", "max_completion_tokens",
                                                      "max_output_tokens", "n_predict"};
/// Whose texts are data in base64, or where it is.
constexpr std::array<std::string_view, 6> kDataTexts{"data",      "file_data",       "image_data",
                                                     "image_url", "multimodal_data", "url"};
/// Where tokens may come as numbers, beside "prompt".
constexpr std::array<std::string_view, 3> kTokenLists{"content", "input", "tokens"};

/// Keeps the values of a few keys of the outermost object; walks over everything else.
class RoutingReader final : public nlohmann::json_sax<Json> {
 public:
  BodyRouting found;
  bool outermost_is_object = false;
  bool outermost_is_array = false;
  bool model_is_text = true;
  bool wait_is_flag = true;
  bool reply_is_unbounded = false;  ///< by one of the names of its bound, whatever the others say
  std::optional<Error> error;

  bool null() override {
    if (is_model()) take_model({});
    if (is_wait()) wait_is_flag = false;
    return true;
  }
  bool number_integer(number_integer_t) override { return number(); }
  bool number_unsigned(number_unsigned_t value) override {
    if (is_reply_bound()) {
      found.max_tokens = std::max<std::uint64_t>(found.max_tokens.value_or(0), value);
      return true;
    }
    if (depth_ == 1 && key_ == Key::kReplies) found.replies = std::max<std::uint64_t>(found.replies, value);
    return number();
  }
  bool number_float(number_float_t, const string_t&) override { return number(); }
  bool binary(binary_t&) override { return other_value(); }

  bool boolean(bool value) override {
    if (depth_ == 1 && key_ == Key::kStream) found.stream = value;
    if (!is_wait()) return other_value();
    found.wait = value;
    wait_is_flag = true;
    return true;
  }
  bool string(string_t& value) override {
    if (parsed_text_ != kParsedTexts.end() && depth_of(value) > kDeepestText) {
      return refuse("'" + std::string(*parsed_text_) + "' nests brackets deeper than " +
                    std::to_string(kDeepestText) + " levels, which is the limit");
    }
    if (is_wait()) wait_is_flag = false;
    if (!is_data_) found.text_bytes += value.size();
    if (is_reply_bound()) reply_is_unbounded = true;
    count_prompt();
    if (is_model()) {
      take_model(std::move(value));
    } else if (depth_ == 1 && key_ == Key::kServiceTier) {
      found.tier = tier_of(value);
    } else if (is_user() && found.user.empty()) {
      found.user = std::move(value);
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0) outermost_is_object = true;
    return go_down();
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 0) outermost_is_array = true;
    return go_down();
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    parsed_text_ = std::ranges::find(kParsedTexts, name);
    inner_is_user_id_ = depth_ == 2 && key_ == Key::kMetadata && name == "user_id";
    is_data_ = is_one_of(kDataTexts, name);
    if (depth_ != 1) return true;
    key_ = name == "model"                   ? Key::kModel
           : name == "stream"                ? Key::kStream
           : name == "wait"                  ? Key::kWait
           : name == "user"                  ? Key::kUser
           : name == "metadata"              ? Key::kMetadata
           : name == "service_tier"          ? Key::kServiceTier
           : name == "n" || name == "n_cmpl" ? Key::kReplies
           : name == "prompt"                ? Key::kPrompt
           : is_one_of(kTokenLists, name)    ? Key::kTokens
           : is_one_of(kMostTokens, name)    ? Key::kReplyBound
                                             : Key::kOther;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error = Error{ErrorCode::kInvalidArgument, "the request body is not valid JSON", e.what()};
    return false;
  }

 private:
  enum class Key : std::uint8_t {
    kOther,
    kModel,
    kStream,
    kWait,
    kUser,
    kMetadata,
    kServiceTier,
    kReplies,
    kPrompt,
    kTokens,
    kReplyBound
  };

  [[nodiscard]] bool is_model() const { return depth_ == 1 && key_ == Key::kModel; }
  [[nodiscard]] bool is_wait() const { return depth_ == 1 && key_ == Key::kWait; }
  [[nodiscard]] bool is_user() const {
    return (depth_ == 1 && key_ == Key::kUser) || (depth_ == 2 && inner_is_user_id_);
  }
  [[nodiscard]] bool is_reply_bound() const { return depth_ == 1 && key_ == Key::kReplyBound; }
  /// Not one that bounds a reply.
  bool number() {
    if (is_reply_bound()) reply_is_unbounded = true;
    if (depth_ > 1 && (key_ == Key::kPrompt || key_ == Key::kTokens)) ++found.token_ids;
    return other_value();
  }
  /// Texts and lists of an outermost list are prompts of their own.
  void count_prompt() {
    if (depth_ == 2 && key_ == Key::kPrompt && ++listed_prompts_ > 1) found.prompts = listed_prompts_;
  }
  void take_model(std::string name) {
    found.model = std::move(name);
    model_is_text = true;
  }
  bool other_value() {
    if (is_model()) model_is_text = false;
    if (is_wait()) wait_is_flag = false;
    return true;
  }
  bool go_down() {
    other_value();
    count_prompt();
    if (++depth_ <= kDeepestJson) return true;
    return refuse("the request body is nested deeper than " + std::to_string(kDeepestJson) +
                  " levels, which is the limit");
  }
  bool refuse(std::string why) {
    error = Error{ErrorCode::kInvalidArgument, std::move(why)};
    return false;
  }

  std::size_t depth_ = 0;
  Key key_ = Key::kOther;
  bool inner_is_user_id_ = false;
  std::uint64_t listed_prompts_ = 0;
  bool is_data_ = false;                                                     ///< what the last key names
  decltype(kParsedTexts)::const_iterator parsed_text_ = kParsedTexts.end();  ///< the last key, if it is one
};

Status read(std::string_view body, Outermost outermost, RoutingReader& reader) {
  if (!Json::sax_parse(body, &reader)) return std::unexpected(std::move(*reader.error));
  const bool array_will_do = outermost == Outermost::kObjectOrArray && reader.outermost_is_array;
  if (!reader.outermost_is_object && !array_will_do) {
    return fail(ErrorCode::kInvalidArgument, "the request body must be a JSON object");
  }
  if (!reader.model_is_text) return fail(ErrorCode::kInvalidArgument, "'model' must be a string");
  return {};
}

}  // namespace

Result<BodyRouting> route_body(std::string_view body, Outermost outermost) {
  RoutingReader reader;
  if (auto sound = read(body, outermost, reader); !sound) return std::unexpected(std::move(sound.error()));
  if (reader.reply_is_unbounded) reader.found.max_tokens.reset();
  return std::move(reader.found);
}

Result<BodyRouting> route_control_body(std::string_view body) {
  if (body.size() > kLargestControlBody) {
    return fail(ErrorCode::kTooLarge, "the body of this request may have " +
                                          std::to_string(kLargestControlBody >> 10) + " KiB at most");
  }
  RoutingReader reader;
  if (auto sound = read(body, Outermost::kObject, reader); !sound)
    return std::unexpected(std::move(sound.error()));
  if (!reader.wait_is_flag) return fail(ErrorCode::kInvalidArgument, "'wait' must be true or false");
  return std::move(reader.found);
}

}  // namespace switchyard::http
