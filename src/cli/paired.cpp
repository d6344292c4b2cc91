#include "cli/paired.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/terminal.h"
#include "experiments/confidence_sequence.h"

namespace switchyard::cli {
namespace {

bool is_json(const std::string& text) { return Json::accept(text); }

/// How many characters from the beginning on are the same.
std::size_t common_start(const std::string& a, const std::string& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

Json reply_json(const PairedReply& reply) {
  if (reply.error) return {{"error", reply.error->to_string()}};
  return {{"text", reply.text},
          {"tokens", reply.tokens},
          {"seconds", reply.seconds},
          {"valid_json", is_json(reply.text)}};
}

/// Sums over the pairs of which both were answered.
struct Sums {
  std::int64_t valid_json = 0, characters = 0, tokens = 0;
  double seconds = 0;
  void add(const PairedReply& reply) {
    valid_json += is_json(reply.text);
    characters += std::ssize(reply.text);
    tokens += reply.tokens;
    seconds += reply.seconds;
  }
};

std::string signed_percent(const Json& value) {
  return value.is_number() ? fmt::format("{:+.1f} %", 100 * value.get<double>()) : "?";
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Result<Json> chat_body_of(std::string_view line) {
  Json body = Json::parse(line, nullptr, false);
  if (body.is_string()) body = Json{{"prompt", body}};
  if (!body.is_object())
    return fail(ErrorCode::kInvalidArgument,
                "a line must be a text or an object with 'prompt' or 'messages'");
  if (const auto prompt = body.find("prompt"); prompt != body.end()) {
    if (!prompt->is_string()) return fail(ErrorCode::kInvalidArgument, "'prompt' must be text");
    body["messages"] = Json::array({{{"role", "user"}, {"content", *prompt}}});
    body.erase("prompt");
  }
  if (!body.contains("messages") || !body["messages"].is_array())
    return fail(ErrorCode::kInvalidArgument, "a line must have 'prompt' or 'messages'");
  if (!body.contains("temperature")) body["temperature"] = 0;
  if (!body.contains("seed")) body["seed"] = 1;
  body["stream"] = false;
  return body;
}

PairedReply reply_of(const Json& completion, double seconds) {
  PairedReply reply{.seconds = seconds};
  const Json choices = completion.value("choices", Json::array());
  if (choices.empty() || !choices[0].is_object()) {
    reply.error = {ErrorCode::kInternal, "the reply has no choices"};
    return reply;
  }
  const Json message = choices[0].value("message", Json::object());
  if (const auto content = message.find("content"); content != message.end() && content->is_string())
    reply.text = content->get<std::string>();
  reply.tokens = completion.value("usage", Json::object()).value("completion_tokens", std::int64_t{0});
  return reply;
}

Json paired_json(const std::string& a, const std::string& b, const std::vector<PairedRow>& rows) {
  Sums sums_a, sums_b;
  std::int64_t failed = 0, equal = 0;
  experiments::Moments ratios;
  Json list = Json::array();
  for (const PairedRow& row : rows) {
    Json item{{"line", row.line}, {"a", reply_json(row.a)}, {"b", reply_json(row.b)}};
    if (row.a.error || row.b.error) {
      ++failed;
    } else {
      sums_a.add(row.a);
      sums_b.add(row.b);
      equal += row.a.text == row.b.text;
      item["equal"] = row.a.text == row.b.text;
      item["common_start"] = common_start(row.a.text, row.b.text);
      if (row.a.seconds > 0 && row.b.seconds > 0) ratios.add(std::log(row.b.seconds / row.a.seconds));
    }
    list.push_back(std::move(item));
  }
  const experiments::Interval interval =
      experiments::mean_of(ratios, {.planned = std::max(2.0, static_cast<double>(rows.size()))});
  return {{"a", a},
          {"b", b},
          {"prompts", rows.size()},
          {"failed", failed},
          {"equal", equal},
          {"valid_json", {{"a", sums_a.valid_json}, {"b", sums_b.valid_json}}},
          {"characters", {{"a", sums_a.characters}, {"b", sums_b.characters}}},
          {"tokens", {{"a", sums_a.tokens}, {"b", sums_b.tokens}}},
          {"seconds", {{"a", sums_a.seconds}, {"b", sums_b.seconds}}},
          {"time",
           {{"difference", finite(std::expm1(interval.estimate))},
            {"lower", finite(std::expm1(interval.lower))},
            {"upper", finite(std::expm1(interval.upper))}}},
          {"rows", std::move(list)}};
}

std::string paired_table(const Json& result) {
  const auto prompts = result.at("prompts").get<std::int64_t>();
  const auto compared = prompts - result.at("failed").get<std::int64_t>();
  const auto count = [&](const char* key, const char* side) {
    return std::to_string(result.at(key).at(side).get<std::int64_t>());
  };
  const auto seconds = [&](const char* side) {
    return fmt::format("{:.2f} s", result.at("seconds").at(side).get<double>());
  };
  std::string out =
      format_table({"", result.at("a").get<std::string>(), result.at("b").get<std::string>()},
                   {{"replies that are JSON", count("valid_json", "a"), count("valid_json", "b")},
                    {"characters", count("characters", "a"), count("characters", "b")},
                    {"tokens", count("tokens", "a"), count("tokens", "b")},
                    {"time", seconds("a"), seconds("b")}},
                   {1, 2});
  out += fmt::format("{} of {} prompts were compared, {} replies are the same to the letter.\n", compared,
                     prompts, result.at("equal").get<std::int64_t>());
  const Json& time = result.at("time");
  if (time.at("lower").is_number() && time.at("upper").is_number())
    out += fmt::format("A reply of {} takes {} of {}'s time more or less ({} to {}).\n",
                       result.at("b").get<std::string>(), signed_percent(time.at("difference")),
                       result.at("a").get<std::string>(), signed_percent(time.at("lower")),
                       signed_percent(time.at("upper")));
  return out;
}

}  // namespace switchyard::cli
