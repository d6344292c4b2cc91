#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <iostream>

#include "base/nearest.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/serve.h"
#include "cli/version.h"
#include "engine/in_process.h"

namespace switchyard::cli {
namespace {

bool has_command(const CLI::App& app, const std::string& word) {
  return std::ranges::any_of(app.get_subcommands(nullptr),
                             [&](const CLI::App* command) { return command->get_name() == word; });
}

enum class Output { kText, kJson };

/// What was asked for wrongly, for the programs that asked with --json; people are told besides.
int asked_wrongly(const Context& context, Output output, const std::string& message) {
  if (output == Output::kJson) context.print(error_json({ErrorCode::kInvalidArgument, message}));
  return 2;
}

/// A mistyped command, with the nearest ones.
int unknown_command(const CLI::App& app, const Context& context, Output output, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (!command->get_group().empty()) names.push_back(command->get_name());  // hidden ones have none
  }
  const std::string message =
      printable_line(fmt::format("unknown command '{}'{}", word, did_you_mean(word, names)));
  fmt::print(stderr, "switchyard: {}\nSee switchyard --help.\n", message);
  return asked_wrongly(context, output, message);
}

}  // namespace

int run_program(std::vector<std::string> words) {
  // These read their words themselves.
  if (!words.empty() && words[0] == "inspect-child") return engine::run_inspect_child();
  if (!words.empty() && words[0] == "worker") return engine::run_worker();
  if (!words.empty() && words[0] == "serve") return run_serve(std::span(words).subspan(1));
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app("Serves many GGUF models with llama.cpp in one process and switches between them.",
               "switchyard");
  app.set_version_flag("--version", std::string("switchyard ") + kVersion);
  app.require_subcommand(1);
  Context context;
  const Output output = std::ranges::count(words, "--json") > 0 ? Output::kJson : Output::kText;
  app.add_subcommand("serve", "Serve models over HTTP (see switchyard serve --help)");
  add_run_command(app, context);
  add_model_commands(app, context);
  add_alias_commands(app, context);
  add_canary_commands(app, context);
  add_shadow_commands(app, context);
  add_alert_commands(app, context);
  add_key_commands(app, context);
  add_experiment_commands(app, context);
  add_file_commands(app, context);
  add_inspect_command(app, context);
  add_doctor_command(app, context);
  add_version_commands(app, context);

  if (!words.empty() && !words[0].starts_with('-') && !has_command(app, words[0])) {
    return unknown_command(app, context, output, words[0]);
  }
  std::ranges::reverse(words);  // CLI11 takes them from the end
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : asked_wrongly(context, output, e.what());
  } catch (const std::exception& e) {
    context.report({ErrorCode::kInternal, e.what()});
  }
  return context.status;
}

}  // namespace switchyard::cli
