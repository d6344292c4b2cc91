#include "http/shadow_json.h"

#include <limits>
#include <utility>

#include "http/alias_json.h"
#include "http/body_fields.h"
#include "http/time_text.h"

namespace switchyard::http {
namespace {

Json number_json(std::optional<double> number) { return number ? Json(*number) : Json(nullptr); }

Json reasons_json(const std::map<std::string, std::uint64_t, std::less<>>& counts) {
  Json json = Json::object();
  for (const auto& [reason, count] : counts) json[reason] = count;
  return json;
}

Json figures_json(const traffic::ShadowFigures& figures) {
  const double compared = static_cast<double>(figures.compared);
  return {
      {"compared", figures.compared},
      {"exact", figures.exact},
      {"exact_rate",
       figures.compared == 0 ? Json(nullptr) : Json(static_cast<double>(figures.exact) / compared)},
      {"length_ratio",
       {{"characters", number_json(figures.character_ratio.value())},
        {"tokens", number_json(figures.token_ratio.value())}}},
      {"json",
       {{"expected", figures.json_expected},
        {"user_valid", figures.user_json},
        {"shadow_valid", figures.copy_json}}},
      {"similarity",
       {{"mean", number_json(figures.similarity.value())},
        {"computed", figures.similarity.count},
        {"not_computed", reasons_json(figures.no_similarity)}}},
      {"user",
       {{"ttft_ms", number_json(figures.user_first_token_ms.value())},
        {"total_ms", number_json(figures.user_total_ms.value())}}},
      {"shadow",
       {{"ttft_ms", number_json(figures.copy_first_token_ms.value())},
        {"total_ms", number_json(figures.copy_total_ms.value())}}},
      {"failed", {{"total", traffic::total(figures.failed)}, {"reasons", reasons_json(figures.failed)}}},
      {"dropped", {{"total", traffic::total(figures.dropped)}, {"reasons", reasons_json(figures.dropped)}}}};
}

}  // namespace

Json shadow_json(const traffic::ShadowStatus& status, std::size_t waiting) {
  const traffic::ShadowPlan& plan = status.plan;
  return {{"alias", status.alias},
          {"to", status.to.to_string()},
          {"state", status.running ? "running" : "stopped"},
          {"fraction", plan.fraction},
          {"similarity_model", plan.similarity_model.empty() ? Json(nullptr) : Json(plan.similarity_model)},
          {"keep_replies", plan.keep_replies},
          {"beside_users", plan.beside_users},
          {"max_tokens", plan.max_tokens == 0 ? Json(nullptr) : Json(plan.max_tokens)},
          {"waiting", waiting},
          {"figures", figures_json(status.figures)},
          {"who", status.who},
          {"started_at", time_json(status.started)},
          {"ended_at", time_json(status.ended)}};
}

Json pair_json(const traffic::ShadowPair& pair) {
  return {{"at", time_text(pair.at)},
          {"request_id", pair.request_id},
          {"version", pair.version.to_string()},
          {"prompt", pair.prompt},
          {"reply", pair.reply},
          {"shadow_reply", pair.copy},
          {"exact", pair.reply == pair.copy},
          {"similarity", number_json(pair.similarity)}};
}

Result<traffic::ShadowPlan> read_shadow_plan(const Json& body) {
  traffic::ShadowPlan plan;
  const auto fraction = read_number(body, "fraction");
  if (!fraction) return std::unexpected(fraction.error());
  plan.fraction = fraction->value_or(plan.fraction);
  auto model = read_text(body, "similarity_model");
  if (!model) return std::unexpected(model.error());
  plan.similarity_model = model->value_or("");
  const auto keep = read_flag(body, "keep_replies", false);
  if (!keep) return std::unexpected(keep.error());
  plan.keep_replies = *keep;
  const auto beside = read_flag(body, "beside_users", false);
  if (!beside) return std::unexpected(beside.error());
  plan.beside_users = *beside;
  if (const auto most = body.find("max_tokens"); most != body.end()) {
    const bool is_count = most->is_number_unsigned() && most->get<std::uint64_t>() > 0 &&
                          most->get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
    if (!is_count)
      return fail(ErrorCode::kInvalidArgument, "'max_tokens' must be a count of tokens, 1 at least");
    plan.max_tokens = most->get<std::uint32_t>();
  }
  if (const Status checked = check_plan(plan); !checked) return std::unexpected(checked.error());
  return plan;
}

}  // namespace switchyard::http
