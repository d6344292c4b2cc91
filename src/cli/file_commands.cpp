#include <fmt/format.h>

#include <cstdlib>
#include <memory>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/download_progress.h"
#include "config/catalog.h"
#include "engine/args.h"
#include "engine/download.h"

namespace switchyard::cli {
namespace {

struct CheckOptions {
  std::string file;
  std::string models_dir;
};

void check_config(Context& context, const CheckOptions& options) {
  config::Sources sources;
  sources.own.config_path = options.file;
  if (!options.models_dir.empty()) sources.command_line["models-dir"] = options.models_dir;
  Result<config::Catalog> catalog = config::build_catalog(sources);
  if (catalog) {
    if (const Status closed = config::check_exposure(catalog->server); !closed)
      catalog = std::unexpected(closed.error());
  }
  if (!catalog) {
    if (context.json) {
      Json answer = error_json(catalog.error());
      answer["valid"] = false;
      context.print(answer);
    }
    // The message has a line for each fault that begins with file and line number, as editors read them.
    fmt::print(stderr, "{}\n", printable(catalog.error().to_string()));
    context.status = 1;
    return;
  }
  if (context.json) {
    Json models = Json::array(), aliases = Json::array();
    for (const auto& model : catalog->models) models.push_back(model.id);
    for (const auto& alias : catalog->aliases)
      aliases.push_back({{"name", alias.name}, {"to", alias.to.to_string()}});
    return context.print(
        {{"valid", true}, {"models", models}, {"aliases", aliases}, {"notes", catalog->notes}});
  }
  for (const std::string& note : catalog->notes) fmt::print(stderr, "note: {}\n", printable(note));
  fmt::print("{} is right: {} models, {} aliases\n", printable_line(options.file), catalog->models.size(),
             catalog->aliases.size());
}

struct PullOptions {
  std::string repo;
  std::string file;
  std::string token;
};

void pull(Context& context, const PullOptions& options) {
  if (const Status done = download_with_progress(options.repo, options.token, options.file); !done) {
    context.report(done.error());
    if (done.error().code == ErrorCode::kInvalidArgument) context.status = 2;
    return;
  }
  const Result<engine::ArgMap> args = engine::cached_model_args(options.repo, options.file);
  if (!args) return context.report(args.error());
  // A running server finds it when it looks again; that none runs is no fault.
  Client client(context.server);
  const bool told = client.request("GET", "/models?reload=1").has_value();
  if (context.json) {
    return context.print({{"repo", options.repo}, {"file", args->at("model")}, {"server_reloaded", told}});
  }
  fmt::print("{} is at {}\n", options.repo, args->at("model"));
  if (told) fmt::print("The server at {} lists it now.\n", context.server.url);
}

}  // namespace

void add_file_commands(CLI::App& app, Context& context) {
  CLI::App* config = app.add_subcommand("config", "Look at configuration files");
  config->require_subcommand(1);
  CLI::App* check =
      config->add_subcommand("check", "Say whether a config file is right, and where it is not");
  const auto options = std::make_shared<CheckOptions>();
  check->add_option("file", options->file, "The YAML file")->required();
  check->add_option("--models-dir", options->models_dir, "Models folder, as for serve");
  add_json_option(*check, context);
  check->callback([&context, options] { check_config(context, *options); });

  CLI::App* command = app.add_subcommand("pull", "Fetch a model from Hugging Face into llama.cpp's cache");
  const auto wanted = std::make_shared<PullOptions>();
  wanted->token = from_environment("HF_TOKEN");
  command->add_option("repo", wanted->repo, "user/name or user/name:QUANT")->required();
  command->add_option("--hf-file", wanted->file, "One file of the repository instead of a quantisation");
  command->add_option("--hf-token", wanted->token, "Access token (HF_TOKEN)");
  add_server_options(*command, context);
  command->callback([&context, wanted] { pull(context, *wanted); });
}

}  // namespace switchyard::cli
