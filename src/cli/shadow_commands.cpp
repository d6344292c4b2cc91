#include <fmt/format.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/terminal.h"

// switchyard shadow start|show|stop

namespace switchyard::cli {
namespace {

struct ShadowWords {
  std::string alias, to, similarity_model;
  std::optional<double> fraction;
  std::optional<unsigned> max_tokens;
  bool keep_replies = false, beside_users = false, replies = false;
};

std::string path_of(const std::string& alias, const char* what = "") {
  return fmt::format("/admin/v1/aliases/{}/shadow{}", percent_encode(alias), what);
}

/// "12.3 ms", or "-" for a number that there is not.
std::string number_text(const Json& number, const char* unit = "") {
  return number.is_number() ? fmt::format("{:.4g}{}", number.get<double>(), unit) : "-";
}

/// "3 (no_room 2, interrupted 1)".
std::string reasons_text(const Json& counts) {
  std::string reasons;
  for (const auto& [reason, count] : counts.at("reasons").items())
    reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", reason, count.get<std::uint64_t>());
  const auto total = counts.at("total").get<std::uint64_t>();
  return reasons.empty() ? fmt::format("{}", total) : fmt::format("{} ({})", total, reasons);
}

std::string shadow_text(const Json& shadow) {
  const Json& figures = shadow.at("figures");
  const Json& json = figures.at("json");
  const Json& similarity = figures.at("similarity");
  std::string text = fmt::format("{}: {} shadows it: {}, {:g} % of the requests, {} waiting\n",
                                 shadow.value("alias", ""), shadow.value("to", ""), shadow.value("state", ""),
                                 shadow.value("fraction", 0.0) * 100, shadow.value("waiting", 0));
  text += fmt::format("compared {}, exact {}, failed {}, dropped {}\n", figures.value("compared", 0),
                      figures.value("exact", 0), reasons_text(figures.at("failed")),
                      reasons_text(figures.at("dropped")));
  text += fmt::format("length over the user's: {} of characters, {} of tokens\n",
                      number_text(figures.at("length_ratio").at("characters")),
                      number_text(figures.at("length_ratio").at("tokens")));
  if (json.value("expected", 0) > 0) {
    text +=
        fmt::format("JSON expected {}: valid {} of the user's, {} of the shadow's\n",
                    json.value("expected", 0), json.value("user_valid", 0), json.value("shadow_valid", 0));
  }
  if (!shadow.at("similarity_model").is_null()) {
    std::string not_computed;
    for (const auto& [reason, count] : similarity.at("not_computed").items())
      not_computed += fmt::format(", not computed {} ({})", count.get<std::uint64_t>(), reason);
    text += fmt::format("similarity by {}: {} of {}{}\n", shadow.value("similarity_model", ""),
                        number_text(similarity.at("mean")), similarity.value("computed", 0), not_computed);
  }
  for (const char* who : {"user", "shadow"}) {
    text += fmt::format("{}: first token {}, whole reply {}\n", who,
                        number_text(figures.at(who).at("ttft_ms"), " ms"),
                        number_text(figures.at(who).at("total_ms"), " ms"));
  }
  return text;
}

std::string replies_text(const Json& replies) {
  std::string text;
  for (const Json& pair : replies.at("replies")) {
    text += fmt::format("{} {} ({}{})\nprompt: {}\nreply:  {}\nshadow: {}\n\n", pair.value("at", ""),
                        pair.value("request_id", ""), pair.value("exact", false) ? "exact" : "different",
                        pair.at("similarity").is_null() ? "" : ", " + number_text(pair.at("similarity")),
                        pair.value("prompt", ""), pair.value("reply", ""), pair.value("shadow_reply", ""));
  }
  return text.empty() ? "no replies are kept (--keep-replies)\n" : text;
}

void answer(Context& context, const Result<Json>& reply, std::string (*text)(const Json&)) {
  if (!reply) return context.report(reply.error());
  if (context.json) return context.print(*reply);
  fmt::print("{}", printable(text(*reply)));
}

void start(Context& context, const ShadowWords& words) {
  if (!context.is_name(words.alias) || !context.is_name(words.to)) return;
  Json body = {{"to", words.to}};
  if (words.fraction) body["fraction"] = *words.fraction;
  if (words.max_tokens) body["max_tokens"] = *words.max_tokens;
  if (!words.similarity_model.empty()) body["similarity_model"] = words.similarity_model;
  if (words.keep_replies) body["keep_replies"] = true;
  if (words.beside_users) body["beside_users"] = true;
  Client client(context.server);
  answer(context, client.request("PUT", path_of(words.alias), body), shadow_text);
}

void add_start(CLI::App& shadow, Context& context) {
  CLI::App* command =
      shadow.add_subcommand("start", "Copy some of an alias's requests to a version and compare the replies");
  const auto words = std::make_shared<ShadowWords>();
  command->add_option("alias", words->alias, "The public name")->required();
  command->add_option("to", words->to, "model or model@version")->required();
  command->add_option("--fraction", words->fraction, "Of the requests, above 0 and at most 1 (0.1)");
  command->add_option("--similarity-model", words->similarity_model,
                      "Embedding model that says how near the replies are, while it is hot");
  command->add_option("--max-tokens", words->max_tokens, "The longest reply to a copy (as the request says)");
  command->add_flag("--keep-replies", words->keep_replies,
                    "Keep prompts and replies of the newest 100 pairs; users' words are in there");
  command->add_flag("--beside-users", words->beside_users,
                    "Copy beside users' requests, and not only between them");
  add_server_options(*command, context);
  command->callback([&context, words] { start(context, *words); });
}

void add_show(CLI::App& shadow, Context& context) {
  CLI::App* command = shadow.add_subcommand("show", "How the replies compare");
  const auto words = std::make_shared<ShadowWords>();
  command->add_option("alias", words->alias, "The public name")->required();
  command->add_flag("--replies", words->replies, "The prompts and replies that are kept");
  add_server_options(*command, context);
  command->callback([&context, words] {
    if (!context.is_name(words->alias)) return;
    Client client(context.server);
    if (words->replies)
      return answer(context, client.request("GET", path_of(words->alias, "/replies")), replies_text);
    answer(context, client.request("GET", path_of(words->alias)), shadow_text);
  });
}

void add_stop(CLI::App& shadow, Context& context) {
  CLI::App* command = shadow.add_subcommand("stop", "Copy no more; replies that were kept go");
  const auto alias = std::make_shared<std::string>();
  command->add_option("alias", *alias, "The public name")->required();
  add_server_options(*command, context);
  command->callback([&context, alias] {
    if (!context.is_name(*alias)) return;
    Client client(context.server);
    answer(context, client.request("DELETE", path_of(*alias)), shadow_text);
  });
}

}  // namespace

void add_shadow_commands(CLI::App& app, Context& context) {
  CLI::App* shadow =
      app.add_subcommand("shadow", "Try a version on copies of an alias's requests, felt by no user");
  shadow->require_subcommand(1);
  add_start(*shadow, context);
  add_show(*shadow, context);
  add_stop(*shadow, context);
}

}  // namespace switchyard::cli
