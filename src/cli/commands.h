#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/client.h"

// The subcommands, one function for each group: it adds them to the app, and each one's callback
// leaves its exit status in Context::status: 0 done, 1 failed, 2 asked for wrongly.

namespace switchyard::cli {

/// A variable's text, or `otherwise` where it is unset or empty.
[[nodiscard]] std::string from_environment(const char* name, const std::string& otherwise = {});

struct Context {
  Context();  ///< SWITCHYARD_URL and SWITCHYARD_API_KEY where options say nothing
  ClientOptions server;
  bool json = false;
  int status = 0;

  /// Prints the error for a person (and as JSON on standard output with --json) and sets the status.
  void report(const Error& error);
  /// Prints a server's answer as it is; for --json.
  void print(const Json& answer) const;
  /// False, and reported, for an empty text, which would be no part of a path.
  [[nodiscard]] bool is_name(const std::string& name);
};

void add_model_commands(CLI::App& app, Context& context);   // ls ps health load unload park resume pin ...
void add_alias_commands(CLI::App& app, Context& context);   // switch rollback split versions aliases
void add_canary_commands(CLI::App& app, Context& context);  // canary
void add_shadow_commands(CLI::App& app, Context& context);  // shadow
void add_alert_commands(CLI::App& app, Context& context);   // alerts
void add_key_commands(CLI::App& app, Context& context);     // keys usage
void add_experiment_commands(CLI::App& app, Context& context);  // experiment create list show stop report ...
void add_run_command(CLI::App& app, Context& context);
void add_inspect_command(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);
void add_file_commands(CLI::App& app, Context& context);     // config check, pull
void add_version_commands(CLI::App& app, Context& context);  // version, completion

/// --url, --api-key and --json on a subcommand.
void add_server_options(CLI::App& command, Context& context);
void add_json_option(CLI::App& command, Context& context);

}  // namespace switchyard::cli
