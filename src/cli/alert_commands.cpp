#include <fmt/format.h>

#include "base/printable.h"
#include "cli/alert_table.h"
#include "cli/commands.h"

namespace switchyard::cli {
namespace {

void show(Context& context) {
  Client client(context.server);
  const Result<Json> answer = client.request("GET", "/admin/v1/alerts");
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(alert_table(*answer)));
}

}  // namespace

void add_alert_commands(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("alerts", "Show what fires and what has fired within the last hour");
  add_server_options(*command, context);
  command->callback([&context] { show(context); });
}

}  // namespace switchyard::cli
