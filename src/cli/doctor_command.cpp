#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <thread>

#include "base/host_memory.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/local_inspection.h"
#include "cli/serve_flags.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "config/catalog.h"
#include "engine/in_process.h"

namespace switchyard::cli {
namespace {

struct Machine {
  std::string cpu = "unknown";
  std::size_t cores = 0;  ///< physical
  std::size_t threads = std::thread::hardware_concurrency();
};

Machine read_machine() {
  Machine machine;
  std::set<std::string> cores;
  std::string package;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) machine.cpu = value;
    if (line.starts_with("physical id")) package = value;
    if (line.starts_with("core id")) cores.insert(fmt::format("{}/{}", package, value));
  }
  machine.cores = cores.empty() ? machine.threads : cores.size();
  return machine;
}

Json devices_json() {
  Json devices = Json::array();
  for (const engine::Device& device : engine::list_devices()) {
    devices.push_back({{"name", device.name},
                       {"description", device.description},
                       {"total_bytes", device.total.bytes()},
                       {"free_bytes", device.free.bytes()}});
  }
  return devices;
}

/// Whether what a model needs on one device is there for it with everything else evicted.
bool fits(const engine::MemoryNeed::Item& item, const models::Limits& limits) {
  if (item.device == "host") return item.total() <= limits.memory_budget;
  const auto given = limits.device_budgets.find(item.device);
  if (given != limits.device_budgets.end()) return item.total() <= given->second;
  return item.device_memory == ByteSize() || item.total() <= default_device_budget(item.device_memory);
}

Json check_model(LocalInspector& inspector, const engine::ModelSpec& spec, const models::Limits& limits) {
  Json entry = {{"id", spec.model + "@" + spec.version}};
  const Result<engine::Inspection> inspection =
      inspector.inspect(spec, {.host_budget = limits.memory_budget, .device_budgets = limits.device_budgets});
  if (!inspection) {
    entry["verdict"] = "cannot be loaded";
    entry["error"] = inspection.error().to_string();
    return entry;
  }
  entry["file_size"] = inspection->file_size.bytes();
  entry["n_ctx"] = inspection->n_ctx;
  entry["predicted_bytes"] = total_of(inspection->need).bytes();
  const bool all =
      std::ranges::all_of(inspection->need.items, [&](const auto& item) { return fits(item, limits); });
  entry["verdict"] = all ? "fits" : "does not fit";
  return entry;
}

Json examine(const Context& context, const config::Catalog& catalog) {
  LocalInspector inspector;
  const Machine machine = read_machine();
  Json json = {{"version", kVersion},
               {"llama_cpp", engine::llama_build_info()},
               {"cpu", machine.cpu},
               {"physical_cores", machine.cores},
               {"threads", machine.threads},
               {"memory_limit", host_memory_limit().bytes()},
               {"memory_budget", catalog.limits.memory_budget.bytes()},
               {"devices", devices_json()},
               {"inspection_sandbox", engine::sandbox_text()},
               {"data_dir", catalog.server.data_dir},
               {"notes", catalog.notes},
               {"models", Json::array()}};
  Client client(context.server);
  const Result<Json> health = client.request("GET", "/health");
  json["server"] = {{"url", context.server.url}, {"running", health.has_value()}};
  StatusLine line;
  for (const auto& model : catalog.models) {
    for (const auto& spec : model.versions) {
      line.show("looking at " + spec.model);
      json["models"].push_back(check_model(inspector, spec, catalog.limits));
    }
  }
  return json;
}

std::string bytes_text(const Json& json, const char* key) {
  return json.contains(key) ? ByteSize(json[key].get<std::uint64_t>()).to_string() : "-";
}

std::string for_people(const Json& json) {
  std::string out = fmt::format("switchyard {}, llama.cpp {}\n\n", json["version"].get<std::string>(),
                                json["llama_cpp"].get<std::string>());
  out += fmt::format("CPU      {} ({} cores, {} threads)\n", json["cpu"].get<std::string>(),
                     json["physical_cores"].dump(), json["threads"].dump());
  out += fmt::format("Memory   {} for this process, of which models get {} by default\n",
                     bytes_text(json, "memory_limit"), bytes_text(json, "memory_budget"));
  for (const Json& device : json["devices"]) {
    out += fmt::format("Device   {}: {}, {} of {} free\n", device["name"].get<std::string>(),
                       device["description"].get<std::string>(), bytes_text(device, "free_bytes"),
                       bytes_text(device, "total_bytes"));
  }
  out += fmt::format("Sandbox  of inspections: {}\n", json["inspection_sandbox"].get<std::string>());
  const Json& server = json["server"];
  out += fmt::format("Server   {} at {}\n", server["running"].get<bool>() ? "answers" : "none",
                     server["url"].get<std::string>());
  for (const Json& note : json["notes"]) out += fmt::format("Note     {}\n", note.get<std::string>());
  if (json["models"].empty()) {
    return out +
           "\nNo models: name a folder with --models-dir DIR, or a file with --config FILE, to see what "
           "would fit.\n";
  }
  std::vector<std::vector<std::string>> rows;
  std::string errors;
  for (const Json& model : json["models"]) {
    const std::string id = model["id"].get<std::string>();
    rows.push_back({id, bytes_text(model, "file_size"), model.contains("n_ctx") ? model["n_ctx"].dump() : "-",
                    bytes_text(model, "predicted_bytes"), model["verdict"].get<std::string>()});
    if (model.contains("error")) errors += fmt::format("{}: {}\n", id, model["error"].get<std::string>());
  }
  out += "\n" + format_table({"MODEL", "FILE", "CONTEXT", "MEMORY", "VERDICT"}, rows, {1, 2, 3});
  return errors.empty() ? out : out + "\n" + errors;
}

void doctor(Context& context, const std::vector<std::string>& words) {
  Result<ServeFlags> flags = parse_serve_flags(words);
  const Result<config::Catalog> catalog =
      flags ? config::build_catalog(flags->sources) : std::unexpected(flags.error());
  if (!catalog) {
    context.report(catalog.error());
    if (catalog.error().code == ErrorCode::kInvalidArgument) context.status = 2;
    return;
  }
  const Json json = examine(context, *catalog);
  if (context.json)
    context.print(json);
  else
    fmt::print("{}", printable(for_people(json)));
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("doctor", "Show what machine this is and which models would fit");
  command->footer("Where models are is said as for `serve`: --models-dir DIR, --config FILE, -m FILE, ...");
  command->allow_extras();
  command->add_option("--url", context.server.url, "A server to look for (SWITCHYARD_URL)");
  add_json_option(*command, context);
  command->callback([&context, command] { doctor(context, command->remaining()); });
}

}  // namespace switchyard::cli
