#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "cli/commands.h"
#include "cli/experiment_tables.h"
#include "cli/paired.h"
#include "cli/terminal.h"
#include "experiments/metric.h"

namespace switchyard::cli {
namespace {

const std::string kPath = "/admin/v1/experiments";

std::string path_of(const std::string& id, const char* what = "") {
  return fmt::format("{}/{}{}", kPath, percent_encode(id), what);
}

struct CreateWords {
  std::string id, alias, control, metric, better, hypothesis, segment_by;
  std::vector<std::string> variants, guardrails;
  std::vector<double> weights;
  std::optional<std::int64_t> minimum_sample;
  std::optional<double> alpha;
  bool automatic = false;

  [[nodiscard]] Json body() const {
    Json body{{"id", id}, {"alias", alias}, {"control", control}, {"variants", variants}, {"metric", metric}};
    const auto put = [&](const char* key, const std::string& text) {
      if (!text.empty()) body[key] = text;
    };
    put("better", better);
    put("hypothesis", hypothesis);
    put("segment_by", segment_by);
    if (!guardrails.empty()) body["guardrails"] = guardrails;
    if (minimum_sample) body["minimum_sample"] = *minimum_sample;
    if (alpha) body["alpha"] = *alpha;
    if (automatic) body["automatic"] = true;
    if (!weights.empty()) {
      Json by_version = Json::object();
      for (std::size_t arm = 0; arm < weights.size(); ++arm)
        by_version[arm == 0 ? control : variants.at(arm - 1)] = weights[arm];
      body["weights"] = std::move(by_version);
    }
    return body;
  }
};

void create(Context& context, const CreateWords& words) {
  if (!words.weights.empty() && words.weights.size() != words.variants.size() + 1) {
    return context.report({ErrorCode::kInvalidArgument,
                           "--weights must have one number for the control and one for each --variant"});
  }
  Client client(context.server);
  const Result<Json> answer = client.request("POST", kPath, words.body());
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(experiment_text(*answer)));
}

void list(Context& context) {
  Client client(context.server);
  const Result<Json> answer = client.request("GET", kPath);
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(experiments_table(*answer)));
}

void ask(Context& context, const char* method, const std::string& path,
         const std::function<std::string(const Json&)>& text) {
  Client client(context.server);
  const Result<Json> answer = client.request(method, path);
  if (!answer) return context.report(answer.error());
  if (context.json) return context.print(*answer);
  fmt::print("{}", printable(text(*answer)));
}

struct ReportWords {
  std::string id, format, file;
};

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail(ErrorCode::kUnavailable, fmt::format("{} cannot be written", path));
  return {};
}

void report(Context& context, const ReportWords& words) {
  if (!context.is_name(words.id)) return;
  if (words.format.empty() && words.file.empty())
    return ask(context, "GET", path_of(words.id, "/report"), experiment_report_text);
  Client client(context.server);
  const std::string format = words.format.empty() ? "json" : words.format;
  const Result<std::string> text = client.text(path_of(words.id, "/report?format=") + format);
  if (!text) return context.report(text.error());
  if (words.file.empty()) {
    fmt::print("{}", *text);
    return;
  }
  if (const Status written = write_file(words.file, *text); !written) context.report(written.error());
}

struct PairedWords {
  std::string a, b, prompts;
  std::optional<std::int64_t> max_tokens;
};

PairedReply reply_from(Client& client, Json body, const std::string& model) {
  body["model"] = model;
  const auto begin = std::chrono::steady_clock::now();
  const Result<Json> answer = client.request("POST", "/v1/chat/completions", body);
  if (!answer) return {.error = answer.error()};
  return reply_of(*answer, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

Result<std::vector<std::pair<std::size_t, Json>>> read_prompts(const PairedWords& words) {
  std::ifstream file(words.prompts);
  if (!file) return fail(ErrorCode::kNotFound, fmt::format("{} cannot be read", words.prompts));
  std::vector<std::pair<std::size_t, Json>> prompts;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Result<Json> body = chat_body_of(line);
    if (!body) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}:{}: {}", words.prompts, number, body.error().message));
    }
    if (words.max_tokens) (*body)["max_tokens"] = *words.max_tokens;
    prompts.emplace_back(number, std::move(*body));
  }
  if (prompts.empty())
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} has no prompts", words.prompts));
  return prompts;
}

void paired(Context& context, const PairedWords& words) {
  const auto prompts = read_prompts(words);
  if (!prompts) return context.report(prompts.error());
  Client client(context.server);
  std::vector<PairedRow> rows;
  StatusLine status;
  for (const auto& [line, body] : *prompts) {
    status.show(fmt::format("{} of {}", rows.size() + 1, prompts->size()));
    PairedRow row{.line = line, .a = {}, .b = {}};
    // Each is the first every other time: the second may profit from what the first has warmed up.
    const bool a_first = rows.size() % 2 == 0;
    if (a_first) row.a = reply_from(client, body, words.a);
    row.b = reply_from(client, body, words.b);
    if (!a_first) row.a = reply_from(client, body, words.a);
    rows.push_back(std::move(row));
  }
  status.clear();
  const bool all_failed =
      std::ranges::all_of(rows, [](const PairedRow& row) { return row.a.error || row.b.error; });
  if (all_failed) return context.report(rows[0].a.error ? *rows[0].a.error : *rows[0].b.error);
  const Json result = paired_json(words.a, words.b, rows);
  if (context.json) return context.print(result);
  fmt::print("{}", printable(paired_table(result)));
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const experiments::MetricInfo& info : experiments::metric_table()) names.emplace_back(info.name);
  return names;
}

void add_create(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("create", "Begin to compare the versions behind an alias");
  const auto words = std::make_shared<CreateWords>();
  command->add_option("id", words->id, "A name for it")->required();
  command->add_option("--alias", words->alias, "The alias whose split is watched")->required();
  command->add_option("--control", words->control, "The version that is there, model@version")->required();
  command->add_option("--variant", words->variants, "A version that may be better; may be repeated")
      ->required();
  command->add_option("--metric", words->metric, "What decides")
      ->required()
      ->check(CLI::IsMember(metric_names()));
  command
      ->add_option("--weights", words->weights,
                   "Per cent of control and variants, as in 90,10 (default even)")
      ->delimiter(',');
  command->add_option("--better", words->better, "Which direction is good (default: the metric's)")
      ->check(CLI::IsMember({"lower", "higher"}));
  command
      ->add_option("--guardrail", words->guardrails, "A metric that must not become worse; may be repeated")
      ->check(CLI::IsMember(metric_names()));
  command->add_option("--hypothesis", words->hypothesis, "What is expected, and why");
  command->add_option("--minimum-sample", words->minimum_sample, "Observations of each arm (default 100)");
  command->add_option("--alpha", words->alpha, "How often it may promote wrongly (default 0.05)");
  command->add_option("--segment-by", words->segment_by, "Show parts as well: path, streaming, header:NAME");
  command->add_flag("--automatic", words->automatic, "The alias follows the verdict");
  add_server_options(*command, context);
  command->callback([&context, words] { create(context, *words); });
}

void add_one(CLI::App& parent, Context& context, const char* name, const char* help,
             const std::function<void(const std::string& id)>& run) {
  CLI::App* command = parent.add_subcommand(name, help);
  const auto id = std::make_shared<std::string>();
  command->add_option("id", *id, "The experiment")->required();
  add_server_options(*command, context);
  command->callback([&context, id, run] {
    if (context.is_name(*id)) run(*id);
  });
}

void add_report(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("report", "Show its numbers, or write them as a file or a plot");
  const auto words = std::make_shared<ReportWords>();
  command->add_option("id", words->id, "The experiment")->required();
  command->add_option("--format", words->format, "Instead of a table")
      ->check(CLI::IsMember({"json", "csv", "svg"}));
  command->add_option("-o,--output", words->file, "Write it there");
  add_server_options(*command, context);
  command->callback([&context, words] { report(context, *words); });
}

void add_paired(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("paired", "Send the same prompts to two variants and compare");
  const auto words = std::make_shared<PairedWords>();
  command->add_option("--a", words->a, "A model, version or alias")->required();
  command->add_option("--b", words->b, "Another one")->required();
  command->add_option("--prompts", words->prompts, "JSON lines: {\"prompt\": ...} or {\"messages\": ...}")
      ->required();
  command->add_option("--max-tokens", words->max_tokens, "Of each reply");
  add_server_options(*command, context);
  command->callback([&context, words] { paired(context, *words); });
}

}  // namespace

void add_experiment_commands(CLI::App& app, Context& context) {
  CLI::App* parent = app.add_subcommand("experiment", "Compare versions behind an alias");
  parent->require_subcommand(1);
  add_create(*parent, context);
  CLI::App* listing = parent->add_subcommand("list", "Show the experiments");
  add_server_options(*listing, context);
  listing->callback([&context] { list(context); });
  add_one(*parent, context, "show", "Show one",
          [&context](const std::string& id) { ask(context, "GET", path_of(id), experiment_text); });
  add_one(*parent, context, "stop", "End one without a verdict",
          [&context](const std::string& id) { ask(context, "POST", path_of(id, "/stop"), experiment_text); });
  add_one(*parent, context, "remove", "Forget one with all its numbers", [&context](const std::string& id) {
    ask(context, "DELETE", path_of(id), [&id](const Json&) { return fmt::format("{} is removed.\n", id); });
  });
  add_report(*parent, context);
  add_paired(*parent, context);
}

}  // namespace switchyard::cli
