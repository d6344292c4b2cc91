#include "shadowing/request_copy.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace switchyard::shadowing {
namespace {

using Json = nlohmann::json;

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// What a body may say of its longest reply.
constexpr std::array<const char*, 4> kMostTokens{"max_tokens", "max_completion_tokens", "max_output_tokens",
                                                 "n_predict"};
/// What a body may have of what is asked. Everything else (tools, users, settings) is not kept.
constexpr std::array<const char*, 5> kPrompts{"messages", "prompt", "input", "system", "instructions"};

const char* most_tokens_of(ReplyForm form) {
  return form == ReplyForm::kResponses ? "max_output_tokens" : "max_tokens";
}

void bound(Json& body, ReplyForm form, std::uint32_t max_tokens) {
  if (max_tokens == 0) return;
  bool says_so = false;
  for (const char* key : kMostTokens) {
    const auto found = body.find(key);
    if (found == body.end() || !found->is_number()) continue;
    says_so = true;
    const double most = found->get<double>();
    if (most < 0 || most > max_tokens) *found = max_tokens;
  }
  if (!says_so) body[most_tokens_of(form)] = max_tokens;
}

/// response_format of OpenAI's chat and completions, text.format of its responses.
traffic::WantsJson wants_json(const Json& body) {
  const auto asks = [](const Json& format) {
    const auto type = format.is_object() ? format.find("type") : format.end();
    if (!format.is_object() || type == format.end()) return false;
    return *type == "json_object" || *type == "json_schema";
  };
  const bool by_format = body.contains("response_format") && asks(body["response_format"]);
  const bool by_text = body.contains("text") && body["text"].is_object() && body["text"].contains("format") &&
                       asks(body["text"]["format"]);
  const bool by_schema = body.contains("json_schema");
  return by_format || by_text || by_schema ? traffic::WantsJson::kYes : traffic::WantsJson::kNo;
}

}  // namespace

Result<RequestCopy> copy_request(ReplyForm form, std::string_view body, const std::string& model,
                                 std::uint32_t max_tokens) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail(ErrorCode::kInvalidArgument, "the request is no JSON object");
  RequestCopy copy{.body = {}, .prompt = {}, .wants_json = wants_json(json)};
  Json prompt = Json::object();
  for (const char* key : kPrompts) {
    if (json.contains(key)) prompt[key] = json[key];
  }
  copy.prompt = to_text(prompt);
  json["model"] = model;
  json["stream"] = true;
  bound(json, form, max_tokens);
  copy.body = to_text(json);
  return copy;
}

std::string embeddings_request(const std::string& model, const std::string& a, const std::string& b) {
  return to_text({{"model", model}, {"input", {a, b}}, {"encoding_format", "float"}});
}

std::optional<double> similarity_of(std::string_view reply) {
  const Json json = Json::parse(reply, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("data") || !json["data"].is_array() || json["data"].size() != 2)
    return std::nullopt;
  std::array<std::vector<float>, 2> vectors;
  for (std::size_t n = 0; n < vectors.size(); ++n) {
    const Json& item = json["data"][n];
    if (!item.is_object() || !item.contains("embedding") || !item["embedding"].is_array())
      return std::nullopt;
    for (const Json& number : item["embedding"]) {
      if (!number.is_number()) return std::nullopt;
      vectors[n].push_back(number.get<float>());
    }
  }
  return traffic::cosine(vectors[0], vectors[1]);
}

}  // namespace switchyard::shadowing
