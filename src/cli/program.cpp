#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <iostream>

#include "base/nearest.h"
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

/// A mistyped command, with the nearest ones.
int unknown_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  fmt::print(stderr, "switchyard: unknown command '{}'{}\nSee switchyard --help.\n", word,
             did_you_mean(word, names));
  return 2;
}

}  // namespace

int run_program(std::vector<std::string> words) {
  // These two read their words themselves.
  if (!words.empty() && words[0] == "inspect-child") return engine::run_inspect_child();
  if (!words.empty() && words[0] == "serve") return run_serve(std::span(words).subspan(1));
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app("Serves many GGUF models with llama.cpp in one process and switches between them.",
               "switchyard");
  app.set_version_flag("--version", std::string("switchyard ") + kVersion);
  app.require_subcommand(1);
  Context context;
  app.add_subcommand("serve", "Serve models over HTTP (see switchyard serve --help)");
  add_run_command(app, context);
  add_model_commands(app, context);
  add_alias_commands(app, context);
  add_file_commands(app, context);
  add_inspect_command(app, context);
  add_doctor_command(app, context);
  add_version_commands(app, context);

  if (!words.empty() && !words[0].starts_with('-') && !has_command(app, words[0])) {
    return unknown_command(app, words[0]);
  }
  std::ranges::reverse(words);  // CLI11 takes them from the end
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "switchyard: {}\n", e.what());
    return 1;
  }
  return context.status;
}

}  // namespace switchyard::cli
