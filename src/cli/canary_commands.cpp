#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <vector>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/load_progress.h"
#include "cli/terminal.h"

// switchyard canary start|show|pause|resume|promote|abort

namespace switchyard::cli {
namespace {

struct CanaryWords {
  std::string alias, to, interval, sticky, why;
  std::optional<std::string> steps;
  std::optional<double> max_error_rate, max_ttft_ratio, min_speed_ratio;
  std::optional<unsigned> min_requests, max_failed_probes;
};

std::string path_of(const std::string& alias, const char* what = "") {
  return fmt::format("/admin/v1/aliases/{}/canary{}", percent_encode(alias), what);
}

std::string figures_text(const Json& figures) {
  std::string text =
      fmt::format("{} requests, {} failed", figures.value("requests", 0), figures.value("errors", 0));
  if (figures.at("ttft_p95_ms").is_number())
    text += fmt::format(", p95 of the first token {:.1f} ms", figures.at("ttft_p95_ms").get<double>());
  if (figures.at("tokens_per_s").is_number())
    text += fmt::format(", {:.1f} tokens/s", figures.at("tokens_per_s").get<double>());
  return text;
}

std::string canary_text(const Json& canary) {
  std::string text =
      fmt::format("{}: {} beside {}: {}, {:g} %\n", canary.value("alias", ""), canary.value("canary", ""),
                  canary.value("stable", ""), canary.value("state", ""), canary.value("percent", 0.0));
  text += fmt::format("canary: {}\nstable: {}\n", figures_text(canary.at("figures").at("canary")),
                      figures_text(canary.at("figures").at("stable")));
  std::vector<std::vector<std::string>> rows;
  for (const Json& line : canary.at("decisions")) {
    rows.push_back({line.value("at", ""), line.value("move", ""),
                    fmt::format("{:g} %", line.value("percent", 0.0)), line.value("who", ""),
                    line.value("reason", "")});
  }
  return rows.empty() ? text : text + format_table({"WHEN", "WHAT", "SHARE", "WHO", "WHY"}, rows);
}

void answer(Context& context, const Result<Json>& reply) {
  if (!reply) return context.report(reply.error());
  if (context.json) return context.print(*reply);
  fmt::print("{}", printable(canary_text(*reply)));
}

/// Nothing for a word that is no list of numbers.
std::optional<Json> numbers_of(const std::string& text) {
  Json list = Json::array();
  const char* at = text.data();
  const char* const last = at + text.size();
  while (at != last) {
    double value = 0;
    const auto [end, error] = std::from_chars(at, last, value);
    if (error != std::errc() || (end != last && *end != ',')) return std::nullopt;
    list.push_back(value);
    at = end == last ? end : end + 1;
  }
  return list;
}

void start(Context& context, const CanaryWords& words) {
  if (!context.is_name(words.alias) || !context.is_name(words.to)) return;
  Json body = {{"to", words.to}};
  if (words.steps) {
    auto steps = numbers_of(*words.steps);
    if (!steps || steps->empty()) {
      return context.report(
          {ErrorCode::kInvalidArgument, "--steps takes percentages with commas between them, as in 5,25,50"});
    }
    body["steps"] = *std::move(steps);
  }
  if (!words.interval.empty()) body["interval"] = words.interval;
  if (!words.sticky.empty()) body["sticky"] = {{"header", words.sticky}};
  if (!words.why.empty()) body["why"] = words.why;
  if (words.min_requests) body["min_requests"] = *words.min_requests;
  if (words.max_failed_probes) body["max_failed_probes"] = *words.max_failed_probes;
  if (words.max_error_rate) body["max_error_rate"] = *words.max_error_rate;
  if (words.max_ttft_ratio) body["max_ttft_ratio"] = *words.max_ttft_ratio;
  if (words.min_speed_ratio) body["min_speed_ratio"] = *words.min_speed_ratio;
  LoadProgress progress(context.server, words.to);
  Client client(context.server);
  answer(context, client.request("POST", path_of(words.alias), body));
}

void add_start(CLI::App& canary, Context& context) {
  CLI::App* command = canary.add_subcommand("start", "Give a version a growing part of an alias's requests");
  const auto words = std::make_shared<CanaryWords>();
  command->add_option("alias", words->alias, "The public name")->required();
  command->add_option("to", words->to, "model or model@version")->required();
  command->add_option("--steps", words->steps, "Its shares in percent, one after the other (5,25,50)");
  command->add_option("--interval", words->interval, "The least time at each step (60s)");
  command->add_option("--min-requests", words->min_requests, "It needs at each step (20)");
  command->add_option("--max-error-rate", words->max_error_rate, "Above that of the stable version (0.02)");
  command->add_option("--max-ttft-ratio", words->max_ttft_ratio,
                      "p95 of the time to the first token over that of the stable version (2)");
  command->add_option("--min-speed-ratio", words->min_speed_ratio,
                      "Tokens a second over those of the stable version (0.5)");
  command->add_option("--max-failed-probes", words->max_failed_probes,
                      "Failed health checks that are allowed (0)");
  command->add_option("--sticky", words->sticky, "Request header that says who asks, such as x-user-id");
  command->add_option("--why", words->why, "For its history");
  add_server_options(*command, context);
  command->callback([&context, words] { start(context, *words); });
}

void add_command(CLI::App& canary, Context& context, const char* name, const char* help, const char* method,
                 const char* what) {
  CLI::App* command = canary.add_subcommand(name, help);
  const auto alias = std::make_shared<std::string>();
  command->add_option("alias", *alias, "The public name")->required();
  add_server_options(*command, context);
  command->callback([&context, alias, method, what] {
    if (!context.is_name(*alias)) return;
    Client client(context.server);
    answer(context, client.request(method, path_of(*alias, what)));
  });
}

}  // namespace

void add_canary_commands(CLI::App& app, Context& context) {
  CLI::App* canary = app.add_subcommand("canary", "Try a version on a growing part of an alias's requests");
  canary->require_subcommand(1);
  add_start(*canary, context);
  add_command(*canary, context, "show", "How it goes, and what was decided", "GET", "");
  add_command(*canary, context, "pause", "Decide nothing for now; it keeps its share", "POST", "/pause");
  add_command(*canary, context, "resume", "Go on deciding", "POST", "/resume");
  add_command(*canary, context, "promote", "Give it everything now", "POST", "/promote");
  add_command(*canary, context, "abort", "Take everything back", "DELETE", "");
}

}  // namespace switchyard::cli
