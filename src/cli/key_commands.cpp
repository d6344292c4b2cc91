#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/key_tables.h"

namespace switchyard::cli {
namespace {

struct KeyWords {
  std::string key_alias, duration;
  std::vector<std::string> models, aliases, scopes;
  std::optional<std::uint64_t> rpm_limit, tpm_limit, max_parallel_requests;
  std::optional<double> weight;
  std::vector<std::string> cleared;

  [[nodiscard]] Result<Json> body() const {
    Json body = Json::object();
    if (!key_alias.empty()) body["key_alias"] = key_alias;
    if (!duration.empty()) body["duration"] = duration;
    if (!models.empty()) body["models"] = models;
    if (!scopes.empty()) body["scopes"] = scopes;
    for (const std::string& alias : aliases) {
      const std::size_t equals = alias.find('=');
      if (equals == std::string::npos) {
        return fail(ErrorCode::kInvalidArgument, fmt::format("--aliases takes NAME=MODEL, not '{}'", alias));
      }
      body["aliases"][alias.substr(0, equals)] = alias.substr(equals + 1);
    }
    for (const auto& [key, limit] : {std::pair{"rpm_limit", rpm_limit},
                                     {"tpm_limit", tpm_limit},
                                     {"max_parallel_requests", max_parallel_requests}}) {
      if (limit) body[key] = *limit;
    }
    if (weight) body["weight"] = *weight;
    for (const std::string& what : cleared) {
      if (body.contains(what) || (what == "expires" && body.contains("duration"))) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("'{}' is to be set and to be cleared: one of them", what));
      }
      body[what] = nullptr;
    }
    return body;
  }
};

using Show = std::string (*)(const Json& answer);

void ask(Context& context, const char* method, const std::string& path, const Json& body, Show show) {
  Client client(context.server);
  const Result<Json> answer = client.request(method, path, body);
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(show(*answer)));
}

void create(Context& context, const KeyWords& words) {
  const Result<Json> body = words.body();
  if (!body) return context.report(body.error());
  ask(context, "POST", "/admin/v1/keys", *body, &issued_text);
}

std::string revoked_text(const Json& answer) {
  return fmt::format("{} is revoked\n", answer.value("revoked", "-"));
}

/// A command about one key.
void add_key_command(CLI::App& keys, Context& context, const char* name, const char* help, const char* method,
                     const char* what, Show show) {
  CLI::App* command = keys.add_subcommand(name, help);
  const auto key = std::make_shared<std::string>();
  command->add_option("key", *key, "Its alias or its id")->required();
  add_server_options(*command, context);
  command->callback([&context, key, method, what, show] {
    if (!context.is_name(*key)) return;
    ask(context, method, fmt::format("/admin/v1/keys/{}{}", percent_encode(*key), what), nullptr, show);
  });
}

/// What a key is and may, as options.
std::shared_ptr<KeyWords> add_words(CLI::App* command) {
  auto words = std::make_shared<KeyWords>();
  command->add_option("--key-alias", words->key_alias, "Its name for people");
  command->add_option("--models", words->models, "Models, versions and aliases it may ask for (default any)")
      ->delimiter(',');
  command->add_option("--aliases", words->aliases, "Names of its own: NAME=MODEL, ...")->delimiter(',');
  command->add_option("--scopes", words->scopes, "inference, read, admin (default inference)")
      ->delimiter(',');
  command->add_option("--rpm-limit", words->rpm_limit, "Requests within a minute");
  command->add_option("--tpm-limit", words->tpm_limit, "Tokens within a minute");
  command->add_option("--max-parallel-requests", words->max_parallel_requests, "Requests at once");
  command->add_option("--weight", words->weight, "Share of a busy model's tokens, against other keys' (1)");
  command->add_option("--duration", words->duration, "Until it expires, as in 30d (default never)");
  return words;
}

void add_create(CLI::App& keys, Context& context) {
  CLI::App* command = keys.add_subcommand("create", "Make a key and show it, once");
  const auto words = add_words(command);
  add_server_options(*command, context);
  command->callback([&context, words] { create(context, *words); });
}

void add_update(CLI::App& keys, Context& context) {
  CLI::App* command = keys.add_subcommand("update", "Change what a key is and may; what is not named stays");
  const auto key = std::make_shared<std::string>();
  command->add_option("key", *key, "Its alias or its id")->required();
  const auto words = add_words(command);
  command->add_option("--clear", words->cleared, "What it is to have no longer")
      ->delimiter(',')
      ->check(CLI::IsMember({"rpm_limit", "tpm_limit", "max_parallel_requests", "expires"}));
  add_server_options(*command, context);
  command->callback([&context, key, words] {
    if (!context.is_name(*key)) return;
    const Result<Json> body = words->body();
    if (!body) return context.report(body.error());
    if (body->empty()) {
      return context.report(
          {ErrorCode::kInvalidArgument, "nothing to change was said: name what, as in --rpm-limit 60"});
    }
    ask(context, "POST", fmt::format("/admin/v1/keys/{}/update", percent_encode(*key)), *body, &updated_text);
  });
}

void add_usage_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("usage", "Show what keys have used, per model and day");
  const auto from = std::make_shared<std::string>(), to = std::make_shared<std::string>(),
             key = std::make_shared<std::string>();
  command->add_option("--from", *from, "First day, as in 2026-01-31 (UTC)");
  command->add_option("--to", *to, "Last day");
  command->add_option("--key", *key, "Of one key only");
  add_server_options(*command, context);
  command->callback([&context, from, to, key] {
    ask(context, "GET",
        fmt::format("/admin/v1/usage?from={}&to={}&key={}", percent_encode(*from), percent_encode(*to),
                    percent_encode(*key)),
        nullptr, &usage_table);
  });
}

}  // namespace

void add_key_commands(CLI::App& app, Context& context) {
  CLI::App* keys = app.add_subcommand("keys", "Make, show and revoke the keys of tenants");
  keys->require_subcommand(1);
  add_create(*keys, context);
  add_update(*keys, context);
  CLI::App* list = keys->add_subcommand("list", "Show the keys, without their secrets");
  add_server_options(*list, context);
  list->callback([&context] { ask(context, "GET", "/admin/v1/keys", nullptr, &key_table); });
  add_key_command(*keys, context, "revoke", "Refuse a key from now on, for good", "DELETE", "",
                  &revoked_text);
  add_key_command(*keys, context, "rotate", "Give a key a new secret; the old one is refused", "POST",
                  "/rotate", &issued_text);
  add_key_command(*keys, context, "block", "Refuse a key until it is unblocked", "POST", "/block", &key_line);
  add_key_command(*keys, context, "unblock", "Let a blocked key in again", "POST", "/unblock", &key_line);
  add_usage_command(app, context);
}

}  // namespace switchyard::cli
