#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/host_memory.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/local_inspection.h"
#include "cli/terminal.h"
#include "engine/args.h"

namespace switchyard::cli {
namespace {

Json to_json(const engine::MemoryNeed& need) {
  Json devices = Json::array();
  for (const auto& item : need.items) {
    devices.push_back({{"device", item.device},
                       {"weights_mapped", item.weights_mapped.bytes()},
                       {"weights_private", item.weights_private.bytes()},
                       {"context", item.context.bytes()},
                       {"compute", item.compute.bytes()},
                       {"vocabulary", item.vocabulary.bytes()},
                       {"prompt_cache", item.prompt_cache.bytes()},
                       {"total", item.total().bytes()}});
  }
  return devices;
}

Json to_json(const std::string& file, const engine::Inspection& inspection) {
  Json json = Json::parse(inspection.details_json, nullptr, false);
  if (!json.is_object()) json = Json::object();
  json["file"] = file;
  json["file_size"] = inspection.file_size.bytes();
  json["architecture"] = inspection.architecture;
  json["n_params"] = inspection.n_params;
  json["n_layers"] = inspection.n_layers;
  json["n_ctx_train"] = inspection.n_ctx_train;
  json["n_ctx"] = inspection.n_ctx;
  json["n_slots"] = inspection.n_slots;
  json["predicted_bytes"] = to_json(inspection.need);
  json["resolved_args"] = inspection.resolved_args;
  return json;
}

/// A value of the metadata in one short line.
std::string short_value(const Json& value) {
  constexpr std::size_t kLongest = 70;
  std::string text = value.is_string() ? value.get<std::string>()
                                       : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  text = printable_line(text);
  if (shown_width(text) <= kLongest) return text;
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

std::string for_people(const Json& json, const engine::Inspection& inspection) {
  std::string out =
      fmt::format("{}\n  {}, {} parameters, {} layers, trained for {} tokens of context, {}\n\nTensors\n",
                  json["file"].get<std::string>(), inspection.architecture, format_count(inspection.n_params),
                  inspection.n_layers, inspection.n_ctx_train, inspection.file_size.to_string());
  std::vector<std::vector<std::string>> rows;
  const Json tensor_types = json.value("tensor_types", Json::object());
  for (const auto& [type, sums] : tensor_types.items()) {
    rows.push_back(
        {"  " + type, sums["tensors"].dump(), ByteSize(sums["bytes"].get<std::uint64_t>()).to_string()});
  }
  out += format_table({"  TYPE", "COUNT", "BYTES"}, rows, {1, 2});

  rows.clear();
  for (const auto& item : inspection.need.items) {
    rows.push_back({"  " + item.device, (item.weights_mapped + item.weights_private).to_string(),
                    item.context.to_string(), item.compute.to_string(), item.vocabulary.to_string(),
                    item.prompt_cache.to_string(), item.total().to_string()});
  }
  out += fmt::format("\nPredicted memory with {} tokens of context in {} slots\n", inspection.n_ctx,
                     inspection.n_slots);
  out += format_table({"  DEVICE", "WEIGHTS", "CONTEXT", "COMPUTE", "VOCABULARY", "PROMPT CACHE", "TOTAL"},
                      rows, {1, 2, 3, 4, 5, 6});
  out += "\nMetadata\n";
  rows.clear();
  const Json metadata = json.value("metadata", Json::object());
  for (const auto& [key, value] : metadata.items())
    rows.push_back({"  " + short_value(key), short_value(value)});
  return out + format_table({"  KEY", "VALUE"}, rows);
}

struct InspectOptions {
  std::string file;
  std::string budget;
};

void inspect(Context& context, const InspectOptions& options, const std::vector<std::string>& words) {
  Result<engine::ArgMap> args = engine::parse_command_line(words);
  if (!args) {
    context.report(args.error());
    context.status = 2;
    return;
  }
  std::erase_if(*args,
                [](const auto& arg) { return engine::scope_of(arg.first) != engine::ArgScope::kModel; });
  ByteSize budget = default_memory_budget();
  if (!options.budget.empty()) {
    const Result<ByteSize> given = ByteSize::parse(options.budget);
    if (!given) return context.report(given.error());
    budget = *given;
  }
  std::error_code error;
  const std::string file = std::filesystem::absolute(options.file, error).lexically_normal();
  (*args)["model"] = file;
  LocalInspector inspector;
  const Result<engine::Inspection> inspection =
      inspector.inspect({.model = std::filesystem::path(file).stem(), .reply_name = {}, .args = *args},
                        {.host_budget = budget});
  if (!inspection) return context.report(inspection.error());
  const Json json = to_json(file, *inspection);
  if (context.json) return context.print(json);
  fmt::print("{}", printable(for_people(json, *inspection)));
}

}  // namespace

void add_inspect_command(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("inspect", "Show what a GGUF file holds and the memory that it would take");
  const auto options = std::make_shared<InspectOptions>();
  command->add_option("file", options->file, "The GGUF file")->required();
  command->add_option("--memory-budget", options->budget,
                      "Bounds the context where none is given (default: as serve)");
  command->footer("llama-server's options of a model (--ctx-size, --parallel, ...) are taken too.");
  command->allow_extras();
  add_json_option(*command, context);
  command->callback([&context, options, command] { inspect(context, *options, command->remaining()); });
}

}  // namespace switchyard::cli
