#include <fmt/format.h>

#include <cstdlib>

#include "base/printable.h"
#include "cli/commands.h"

namespace switchyard::cli {

void Context::report(const Error& error) {
  if (json) print(error_json(error));
  fmt::print(stderr, "switchyard: {}\n", printable(error.to_string()));
  status = 1;
}

bool Context::is_name(const std::string& name) {
  if (!name.empty()) return true;
  report({ErrorCode::kInvalidArgument, "a model's name is needed, and the one given is empty"});
  status = 2;
  return false;
}

void Context::print(const Json& answer) const {
  fmt::print("{}\n", answer.dump(2, ' ', false, Json::error_handler_t::replace));
}

Context::Context() {
  // Not by CLI11: it fills in the variables of all subcommands, over what one of them was given.
  server.url = from_environment("SWITCHYARD_URL", server.url);
  server.api_key = from_environment("SWITCHYARD_API_KEY");
}

std::string from_environment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::string(value) : otherwise;
}

void add_json_option(CLI::App& command, Context& context) {
  command.add_flag("--json", context.json, "Print JSON");
}

void add_server_options(CLI::App& command, Context& context) {
  command.add_option("--url", context.server.url, "The server (SWITCHYARD_URL)")->capture_default_str();
  command.add_option("--api-key", context.server.api_key, "Its key (SWITCHYARD_API_KEY)");
  add_json_option(command, context);
}

}  // namespace switchyard::cli
