#include <fmt/format.h>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/load_progress.h"
#include "cli/model_tables.h"

namespace switchyard::cli {
namespace {

/// False, and reported, for an empty text, which would be no part of a path.
bool is_name(Context& context, const std::string& name) {
  if (!name.empty()) return true;
  context.report({ErrorCode::kInvalidArgument, "a model's name is needed, and the one given is empty"});
  context.status = 2;
  return false;
}

void list(Context& context) {
  Client client(context.server);
  const Result<Json> models = client.request("GET", "/admin/v1/models");
  if (!models) return context.report(models.error());
  const Result<Json> aliases = client.request("GET", "/admin/v1/aliases");
  if (!aliases) return context.report(aliases.error());
  if (context.json) {
    Json both = *models;
    both["aliases"] = aliases->at("aliases");
    return context.print(both);
  }
  fmt::print("{}", printable(model_table(*models, *aliases)));
}

void residency(Context& context) {
  Client client(context.server);
  const Result<Json> models = client.request("GET", "/admin/v1/models");
  if (!models) return context.report(models.error());
  if (context.json) return context.print(*models);
  fmt::print("{}", printable(residency_table(*models)));
}

/// POST /admin/v1/models/{name}/{what}, with what happens shown meanwhile.
void change(Context& context, const std::string& name, const std::string& what, bool wait) {
  if (!is_name(context, name)) return;
  const Result<Json> version = [&] {
    const LoadProgress progress(context.server, name);
    Client client(context.server);
    const std::string path = fmt::format("/admin/v1/models/{}/{}", percent_encode(name), what);
    return client.request("POST", path, wait ? Json(nullptr) : Json{{"wait", false}});
  }();
  if (!version) return context.report(version.error());
  if (context.json) return context.print(*version);
  fmt::print("{}", printable(version_line(*version)));
}

/// What may be asked for by name, one a line; nothing without a server. For the shells' completion.
void names(const Context& context) {
  Client client(context.server);
  const Result<Json> models = client.request("GET", "/admin/v1/models");
  const Result<Json> aliases = client.request("GET", "/admin/v1/aliases");
  if (!models || !aliases) return;
  for (const std::string& name : model_names(*models, *aliases)) fmt::print("{}\n", printable_line(name));
}

void switch_alias(Context& context, const std::string& alias, const std::string& to) {
  if (!is_name(context, alias) || !is_name(context, to)) return;
  const Result<Json> answer = [&] {
    const LoadProgress progress(context.server, to);
    Client client(context.server);
    return client.request("POST", fmt::format("/admin/v1/aliases/{}/switch", percent_encode(alias)),
                          {{"to", to}});
  }();
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(fmt::format("{} is now {}\n", alias, to)));
}

struct Change {
  const char* name;
  const char* help;
  bool can_wait;
};
constexpr Change kChanges[] = {
    {"load", "Make a model hot", true},
    {"unload", "Let a model finish what it answers, then free all of its memory", true},
    {"park", "Keep a model's weights and give back the rest: coming back is quick", true},
    {"resume", "Make a parked model hot", true},
    {"pin", "Never let the server evict, park or unload a model by itself", false},
    {"unpin", "Let the server evict a model again", false},
};

struct Words {
  std::string first;
  std::string second;
  bool no_wait = false;
};

}  // namespace

void add_model_commands(CLI::App& app, Context& context) {
  CLI::App* ls = app.add_subcommand("ls", "List the models of a running server");
  add_server_options(*ls, context);
  ls->callback([&context] { list(context); });

  CLI::App* ps = app.add_subcommand("ps", "Show which models are in memory");
  add_server_options(*ps, context);
  ps->callback([&context] { residency(context); });

  CLI::App* listing = app.add_subcommand("model-names", "Names for shell completion")->group("");
  add_server_options(*listing, context);
  listing->callback([&context] { names(context); });

  for (const Change& each : kChanges) {
    CLI::App* command = app.add_subcommand(each.name, each.help);
    const auto words = std::make_shared<Words>();
    command->add_option("model", words->first, "Name, alias or model@version")->required();
    if (each.can_wait) command->add_flag("--no-wait", words->no_wait, "Begin it and do not wait for its end");
    add_server_options(*command, context);
    command->callback(
        [&context, words, what = each.name] { change(context, words->first, what, !words->no_wait); });
  }

  CLI::App* switching = app.add_subcommand("switch", "Point an alias at another version without a gap");
  const auto words = std::make_shared<Words>();
  switching->add_option("alias", words->first, "The public name")->required();
  switching->add_option("to", words->second, "model or model@version")->required();
  add_server_options(*switching, context);
  switching->callback([&context, words] { switch_alias(context, words->first, words->second); });
}

}  // namespace switchyard::cli
