#include <fmt/format.h>

#include "cli/commands.h"

namespace switchyard::cli {

void Context::report(const Error& error) {
  if (json) {
    print({{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"cause", error.cause}}}});
  }
  fmt::print(stderr, "switchyard: {}\n", error.to_string());
  status = 1;
}

void Context::print(const Json& answer) const {
  fmt::print("{}\n", answer.dump(2, ' ', false, Json::error_handler_t::replace));
}

void add_json_option(CLI::App& command, Context& context) {
  command.add_flag("--json", context.json, "Print JSON");
}

void add_server_options(CLI::App& command, Context& context) {
  command.add_option("--url", context.server.url, "The server (SWITCHYARD_URL)")
      ->envname("SWITCHYARD_URL")
      ->capture_default_str();
  command.add_option("--api-key", context.server.api_key, "Its key (SWITCHYARD_API_KEY)")
      ->envname("SWITCHYARD_API_KEY");
  add_json_option(command, context);
}

}  // namespace switchyard::cli
