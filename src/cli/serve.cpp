#include "cli/serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/printable.h"
#include "cli/admin_key.h"
#include "cli/client.h"
#include "cli/download_progress.h"
#include "cli/serve_flags.h"
#include "cli/server_process.h"
#include "cli/signals.h"
#include "cli/version.h"
#include "config/catalog.h"
#include "engine/args.h"
#include "engine/download.h"
#include "telemetry/log.h"

namespace switchyard::cli {
namespace {

enum class Output { kText, kJson };

int report(const Error& error, Output output) {
  if (output == Output::kJson) fmt::print("{}\n", error_json(error).dump());
  fmt::print(stderr, "switchyard serve: {}\n", printable(error.to_string()));
  return error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kUnimplemented ? 2 : 1;
}

/// -hf: the model comes into the cache before the server starts, as with llama-server.
Status fetch_single_model(const config::Sources& sources) {
  const config::RemoteModel model = config::single_remote_model(sources);
  if (model.repo.empty() || engine::cached_model_args(model.repo, model.file)) return {};
  const auto offline = sources.command_line.find("offline");
  if (offline != sources.command_line.end() && offline->second == "true") {
    return fail(ErrorCode::kUnavailable,
                fmt::format("'{}' is not in the cache, and --offline was given", model.repo));
  }
  std::string token;
  for (const engine::ArgMap* args : {&sources.environment, &sources.command_line}) {
    if (const auto found = args->find("hf-token"); found != args->end()) token = found->second;
  }
  return download_with_progress(model.repo, token, model.file);
}

void log_catalog(const config::Catalog& catalog) {
  telemetry::log_info(
      "serve", "models: {}, aliases: {}; memory budget {}; {} hot models at once", catalog.models.size(),
      catalog.aliases.size(), catalog.limits.memory_budget.to_string(),
      catalog.limits.models_max == 0 ? "any number of" : std::to_string(catalog.limits.models_max));
  for (const std::string& note : catalog.notes) telemetry::log_warning("serve", "{}", note);
  if (catalog.models.empty()) {
    telemetry::log_warning("serve", "there is no model: give --models-dir, --models-preset, --config or -m");
  }
}

void tell_addresses(const std::vector<std::string>& addresses, Output output) {
  if (output == Output::kJson) {
    fmt::print("{}\n", Json{{"addresses", addresses}, {"version", kVersion}}.dump());
  } else {
    for (const std::string& address : addresses) fmt::print("listening on {}\n", address);
  }
  std::fflush(stdout);
}

int serve(config::Sources sources, config::Catalog catalog, Output output) {
  const service::Notifier notifier = service::Notifier::from_environment();
  Occasions occasions;
  Result<std::unique_ptr<ServerProcess>> process =
      ServerProcess::start(std::move(sources), std::move(catalog), notifier);
  if (!process) return report(process.error(), output);
  tell_addresses((*process)->addresses(), output);
  (*process)->serve([&](std::string why) { occasions.post({Occasions::Kind::kFailed, std::move(why)}); });
  int status = 0;
  for (;;) {
    const Occasions::Occasion occasion = occasions.wait();
    if (occasion.kind == Occasions::Kind::kReload) {
      // Reloader logs what came of it.
      [[maybe_unused]] const auto changes = (*process)->reload();
      continue;
    }
    if (occasion.kind == Occasions::Kind::kFailed) {
      telemetry::log_error("serve", "{}", occasion.why);
      status = 1;
    } else {
      telemetry::log_info("serve", "{}: finishing what is in flight; once more to end at once", occasion.why);
    }
    break;
  }
  (*process)->stop();
  process->reset();
  telemetry::log_info("serve", "ended");
  return status;
}

}  // namespace

int run_serve(std::span<const std::string> words) {
  std::setlocale(LC_NUMERIC, "C");
  std::signal(SIGPIPE, SIG_IGN);
  ::setenv("GGML_NO_BACKTRACE", "1", 0);  // an abort would wait for a debugger, for up to a minute
  Result<ServeFlags> flags = parse_serve_flags(words);
  const Output output = std::ranges::count(words, "--json") > 0 ? Output::kJson : Output::kText;
  if (!flags) {
    report(flags.error(), output);
    fmt::print(stderr, "See switchyard serve --help.\n");
    return 2;
  }
  if (flags->help != ServeFlags::Help::kNone) {
    fmt::print("{}", serve_help());
    if (flags->help == ServeFlags::Help::kAll)
      fmt::print("\nllama-server's options:\n\n{}", engine::option_help());
    return 0;
  }
  if (const Status fetched = fetch_single_model(flags->sources); !fetched)
    return report(fetched.error(), output);
  Result<config::Catalog> catalog = config::build_catalog(flags->sources);
  if (!catalog) return report(catalog.error(), output);
  apply_log_settings(catalog->server);
  if (const Status made = make_admin_key_file(catalog->server); !made) return report(made.error(), output);
  log_catalog(*catalog);
  return serve(std::move(flags->sources), std::move(*catalog), output);
}

}  // namespace switchyard::cli
