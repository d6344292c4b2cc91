#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/printable.h"
#include "cli/alias_tables.h"
#include "cli/commands.h"
#include "cli/load_progress.h"
#include "cli/switch_watch.h"

namespace switchyard::cli {
namespace {

struct SwitchWords {
  std::string alias, to, policy, keep_old, drain_timeout, why;
  bool wants_target = false;  ///< a switch; a rollback has none
  bool force = false, dry_run = false, watch = false, make = false, no_wait = false;

  [[nodiscard]] Json body() const {
    Json body = Json::object();
    const auto put = [&](const char* key, const std::string& text) {
      if (!text.empty()) body[key] = text;
    };
    put("to", to);
    put("policy", policy);
    put("keep_old", keep_old);
    put("drain_timeout", drain_timeout);
    put("why", why);
    if (force) body["force"] = true;
    if (dry_run) body["dry_run"] = true;
    if (no_wait) body["wait"] = false;
    return body;
  }
};

/// Asks for a switch or a rollback, and shows how it goes.
void move(Context& context, const SwitchWords& words, const char* method, const std::string& path) {
  if (!context.is_name(words.alias) || (words.wants_target && !context.is_name(words.to))) return;
  std::optional<SwitchWatch> watch;
  std::optional<LoadProgress> progress;
  if (words.watch) {
    watch.emplace(context.server, words.alias);
  } else if (!words.dry_run) {
    progress.emplace(context.server, words.to.empty() ? words.alias : words.to);
  }
  Client client(context.server);
  const Result<Json> answer = client.request(method, path, words.body());
  progress.reset();
  if (watch) watch->finish(answer ? *answer : Json::object());
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(words.dry_run ? preview_text(*answer) : switch_line(*answer)));
}

struct SplitWords {
  std::string alias, sticky, why;
  std::vector<std::string> arms;  ///< "model@version=percent"
};

/// Nothing for a word that is no arm.
std::optional<Json> arm_of(const std::string& word) {
  const std::size_t equals = word.rfind('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  double weight = 0;
  const char* const last = word.data() + word.size();
  const auto [end, error] = std::from_chars(word.data() + equals + 1, last, weight);
  if (error != std::errc() || end != last) return std::nullopt;
  return Json{{"to", word.substr(0, equals)}, {"weight", weight}};
}

std::string path_of(const std::string& alias, const char* what) {
  return fmt::format("/admin/v1/aliases/{}{}", percent_encode(alias), what);
}

void split(Context& context, const SplitWords& words) {
  if (!context.is_name(words.alias)) return;
  Json body = {{"split", Json::array()}};
  for (const std::string& word : words.arms) {
    auto arm = arm_of(word);
    if (!arm) {
      return context.report({ErrorCode::kInvalidArgument,
                             "'" + word + "' is no arm: write model@version=percent, as in chat@2=10"});
    }
    body["split"].push_back(*std::move(arm));
  }
  if (!words.sticky.empty()) body["sticky"] = {{"header", words.sticky}};
  if (!words.why.empty()) body["why"] = words.why;
  LoadProgress progress(context.server, words.alias);
  Client client(context.server);
  const Result<Json> answer = client.request("PUT", path_of(words.alias, ""), body);
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(switch_line(*answer)));
}

void list(Context& context) {
  Client client(context.server);
  const Result<Json> answer = client.request("GET", "/admin/v1/aliases");
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(alias_table(*answer)));
}

void describe(Context& context, const std::string& alias, bool history) {
  if (!context.is_name(alias)) return;
  Client client(context.server);
  const Result<Json> answer = client.request("GET", path_of(alias, ""));
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(history ? history_table(*answer) : alias_text(*answer)));
}

void versions(Context& context, const std::string& model) {
  if (!context.is_name(model)) return;
  Client client(context.server);
  const Result<Json> answer =
      client.request("GET", fmt::format("/admin/v1/models/{}/versions", percent_encode(model)));
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(versions_table(*answer)));
}

void add_move_options(CLI::App& command, const std::shared_ptr<SwitchWords>& words) {
  command.add_option("--policy", words->policy, "Load the new version before the old one goes, or after")
      ->check(CLI::IsMember({"availability_preserving", "resource_preserving"}));
  command.add_option("--keep-old", words->keep_old, "What becomes of the old version (default parked)")
      ->check(CLI::IsMember({"parked", "cold", "hot"}));
  command.add_option("--drain-timeout", words->drain_timeout,
                     "How long to wait for its last replies (default 30s)");
  command.add_flag("--force", words->force, "End the replies that are left at the drain timeout");
  command.add_option("--why", words->why, "For the history");
  command.add_flag("--dry-run", words->dry_run, "Say what would happen, and do nothing");
  command.add_flag("--watch", words->watch, "Show each phase");
  command.add_flag("--no-wait", words->no_wait, "Begin it and do not wait for its end");
}

}  // namespace

void add_alias_commands(CLI::App& app, Context& context) {
  CLI::App* switching = app.add_subcommand("switch", "Point an alias at another version without a gap");
  const auto to = std::make_shared<SwitchWords>();
  to->wants_target = true;
  switching->add_option("alias", to->alias, "The public name")->required();
  switching->add_option("to", to->to, "model or model@version")->required();
  switching->add_flag("--make", to->make, "Make the alias if there is none");
  add_move_options(*switching, to);
  add_server_options(*switching, context);
  switching->callback([&context, to] {
    const bool put = to->make && !to->dry_run;
    move(context, *to, put ? "PUT" : "POST", path_of(to->alias, put ? "" : "/switch"));
  });

  CLI::App* rollback = app.add_subcommand("rollback", "Point an alias at what it meant before");
  const auto back = std::make_shared<SwitchWords>();
  rollback->add_option("alias", back->alias, "The public name")->required();
  add_move_options(*rollback, back);
  add_server_options(*rollback, context);
  rollback->callback([&context, back] { move(context, *back, "POST", path_of(back->alias, "/rollback")); });

  CLI::App* splitting = app.add_subcommand("split", "Share an alias's requests between several versions");
  const auto arms = std::make_shared<SplitWords>();
  splitting->add_option("alias", arms->alias, "The public name; it is made if there is none")->required();
  splitting->add_option("arms", arms->arms, "model@version=percent of each; they add up to 100")->required();
  splitting->add_option("--sticky", arms->sticky, "Request header that says who asks, such as x-user-id");
  splitting->add_option("--why", arms->why, "For the history");
  add_server_options(*splitting, context);
  splitting->callback([&context, arms] { split(context, *arms); });

  CLI::App* listing = app.add_subcommand("versions", "Show the versions that a model has and has had");
  const auto model = std::make_shared<std::string>();
  listing->add_option("model", *model, "A model")->required();
  add_server_options(*listing, context);
  listing->callback([&context, model] { versions(context, *model); });

  CLI::App* aliases = app.add_subcommand("aliases", "Show where aliases point");
  const auto alias = std::make_shared<std::string>();
  const auto history = std::make_shared<bool>(false);
  aliases->add_option("alias", *alias, "One of them, or a model");
  aliases->add_flag("--history", *history, "How it got there");
  add_server_options(*aliases, context);
  aliases->callback([&context, alias, history] {
    if (alias->empty() && *history) {
      return context.report(
          {ErrorCode::kInvalidArgument, "--history is that of one name: switchyard aliases NAME --history"});
    }
    if (alias->empty()) return list(context);
    describe(context, *alias, *history);
  });
}

}  // namespace switchyard::cli
