#include <fmt/format.h>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/load_progress.h"
#include "cli/model_tables.h"

namespace switchyard::cli {
namespace {

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
  if (!context.is_name(name)) return;
  const Result<Json> version = [&] {
    const LoadProgress progress(context.server, name);
    Client client(context.server);
    const std::string path = fmt::format("/admin/v1/models/{}/{}", percent_encode(name), what);
    return client.request("POST", path, wait ? Json(nullptr) : Json{{"wait", false}});
  }();
  if (!version) return context.report(version.error());
  if (context.json) return context.print(*version);
  if (what == "release") {
    fmt::print("{} may be loaded again\n", printable_line(version->value("released", name)));
  } else {
    fmt::print("{}", printable(version_line(*version)));
  }
}

void health(Context& context) {
  Client client(context.server);
  const Result<Json> answer = client.request("GET", "/admin/v1/health");
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(health_table(*answer)));
}

/// What may be asked for by name, one a line; nothing without a server. For the shells' completion.
void names(const Context& context) {
  Client client(context.server);
  const Result<Json> models = client.request("GET", "/admin/v1/models");
  const Result<Json> aliases = client.request("GET", "/admin/v1/aliases");
  if (!models || !aliases) return;
  for (const std::string& name : model_names(*models, *aliases)) fmt::print("{}\n", printable_line(name));
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
    {"release", "Let a quarantined model be loaded again", false},
};

struct Words {
  std::string model;
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

  CLI::App* how = app.add_subcommand("health", "Show how the models are that have been in memory");
  add_server_options(*how, context);
  how->callback([&context] { health(context); });

  CLI::App* listing = app.add_subcommand("model-names", "Names for shell completion")->group("");
  add_server_options(*listing, context);
  listing->callback([&context] { names(context); });

  for (const Change& each : kChanges) {
    CLI::App* command = app.add_subcommand(each.name, each.help);
    const auto words = std::make_shared<Words>();
    command->add_option("model", words->model, "Name, alias or model@version")->required();
    if (each.can_wait) command->add_flag("--no-wait", words->no_wait, "Begin it and do not wait for its end");
    add_server_options(*command, context);
    command->callback(
        [&context, words, what = each.name] { change(context, words->model, what, !words->no_wait); });
  }
}

}  // namespace switchyard::cli
