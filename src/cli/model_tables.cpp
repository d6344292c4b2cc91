#include "cli/model_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cli/terminal.h"
#include "switchyard/byte_size.h"

namespace switchyard::cli {
namespace {

std::string text_or(const Json& json, const char* key, const std::string& otherwise = "-") {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return otherwise;
  return found->is_string() ? found->get<std::string>() : found->dump();
}

double number_or(const Json& json, const char* key, double otherwise) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_number() ? otherwise : found->get<double>();
}

std::uint64_t bytes_of(const Json& version) {
  std::uint64_t bytes = 0;
  const auto items = version.find("predicted_bytes");
  if (items == version.end() || !items->is_array()) return 0;
  for (const Json& item : *items) bytes += static_cast<std::uint64_t>(number_or(item, "total", 0));
  return bytes;
}

std::string size_text(std::uint64_t bytes) { return bytes == 0 ? "-" : ByteSize(bytes).to_string(); }

/// The bare id where there is one version only.
std::string name_of(const Json& model, const Json& version) {
  return model.at("versions").size() == 1 ? text_or(model, "id") : text_or(version, "id");
}

std::string state_of(const Json& version) {
  std::string state = text_or(version, "state");
  if (state == "loading" && version.contains("progress") && version["progress"].is_object()) {
    state += fmt::format(" {:.0f} %", 100 * number_or(version["progress"], "value", 0));
  }
  const std::string health = text_or(version, "health");
  if (health == "degraded" || health == "quarantined" || (health == "failed" && state != "failed"))
    state += ", " + health;
  if (version.value("pinned", false)) state += ", pinned";
  return state;
}

std::string idle_of(const Json& version) {
  const double idle = number_or(version, "idle_seconds", -1);
  return idle < 0 ? "-" : format_seconds(idle);
}

std::string error_of(const Json& version) {
  const auto error = version.find("error");
  return error == version.end() || !error->is_object() ? std::string() : text_or(*error, "message", "");
}

/// How many of its layers are on a GPU: "12/30", or "-" for none.
std::string gpu_layers_of(const Json& version) {
  const std::string layers = text_or(version.value("resolved_args", Json::object()), "n-gpu-layers", "0");
  const int all = static_cast<int>(number_or(version, "n_layers", 0));
  // llama.cpp counts the output as one more, and people ask for 99.
  const int on_gpu = layers == "all" ? all : std::min(std::atoi(layers.c_str()), all);
  return on_gpu <= 0 ? "-" : fmt::format("{}/{}", on_gpu, all);
}

std::string aliases_of(const Json& aliases, const std::string& id) {
  std::string names;
  for (const Json& alias : aliases.value("aliases", Json::array())) {
    if (text_or(alias, "to") == id)
      names += (names.empty() ? std::string() : std::string(", ")) + text_or(alias, "name");
  }
  return names.empty() ? "-" : names;
}

}  // namespace

std::string model_table(const Json& answer, const Json& aliases) {
  std::vector<std::vector<std::string>> rows;
  std::string errors;
  for (const Json& model : answer.at("models")) {
    for (const Json& version : model.at("versions")) {
      const double params = number_or(version, "n_params", 0);
      rows.push_back({name_of(model, version), state_of(version), text_or(version, "architecture"),
                      params > 0 ? format_count(static_cast<std::uint64_t>(params)) : "-",
                      size_text(static_cast<std::uint64_t>(number_or(version, "file_size", 0))),
                      text_or(version, "n_ctx"), gpu_layers_of(version), text_or(version, "n_slots"),
                      size_text(bytes_of(version)), aliases_of(aliases, text_or(version, "id"))});
      if (const std::string error = error_of(version); !error.empty()) {
        errors += fmt::format("{}: {}\n", name_of(model, version), error);
      }
    }
  }
  if (rows.empty()) return "The server has no models: give it --models-dir, --models-preset or --config.\n";
  return format_table(
             {"NAME", "STATE", "KIND", "PARAMS", "FILE", "CONTEXT", "GPU", "SLOTS", "MEMORY", "ALIASES"},
             rows, {3, 4, 5, 6, 7, 8}) +
         (errors.empty() ? "" : "\n" + errors);
}

std::string residency_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& model : answer.at("models")) {
    for (const Json& version : model.at("versions")) {
      const std::string state = text_or(version, "state");
      if (state == "cold" || state == "failed") continue;
      rows.push_back({name_of(model, version), state_of(version), size_text(bytes_of(version)),
                      text_or(version, "leases"), text_or(version, "waiting"), idle_of(version)});
    }
  }
  const ByteSize reserved(static_cast<std::uint64_t>(number_or(answer, "reserved_bytes", 0)));
  const Json limits = answer.value("limits", Json::object());
  const ByteSize budget(static_cast<std::uint64_t>(number_or(limits, "memory_budget", 0)));
  const std::string sum = fmt::format("{} of {} reserved\n", reserved.to_string(), budget.to_string());
  if (rows.empty()) return "No model is in memory; " + sum;
  return format_table({"NAME", "STATE", "MEMORY", "REQUESTS", "WAITING", "IDLE"}, rows, {2, 3, 4, 5}) + "\n" +
         sum;
}

std::string health_table(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  std::string reasons;
  for (const Json& version : answer.at("versions")) {
    if (text_or(version, "since") == "-") continue;  // never seen in memory
    const double latency = number_or(version, "latency_ms", -1);
    rows.push_back({text_or(version, "id"), text_or(version, "state"), text_or(version, "health"),
                    latency < 0 ? "-" : fmt::format("{:.0f} ms", latency), text_or(version, "failures"),
                    text_or(version, "restarts"), text_or(version, "since")});
    if (const std::string reason = text_or(version, "reason", ""); !reason.empty())
      reasons += fmt::format("{}: {}\n", text_or(version, "id"), reason);
  }
  if (rows.empty()) return "No model has been in memory yet.\n";
  return format_table({"NAME", "STATE", "HEALTH", "LATENCY", "FAILURES", "RESTARTS", "SINCE"}, rows,
                      {3, 4, 5}) +
         (reasons.empty() ? "" : "\n" + reasons);
}

std::vector<std::string> model_names(const Json& answer, const Json& aliases) {
  std::vector<std::string> names;
  for (const Json& model : answer.value("models", Json::array())) {
    names.push_back(text_or(model, "id"));
    const Json versions = model.value("versions", Json::array());
    if (versions.size() < 2) continue;
    for (const Json& version : versions) names.push_back(text_or(version, "id"));
  }
  for (const Json& alias : aliases.value("aliases", Json::array())) names.push_back(text_or(alias, "name"));
  return names;
}

std::string version_line(const Json& version) {
  const std::string state = text_or(version, "state");
  std::string line = fmt::format(
      "{} is {}",
      text_or(version, text_or(version, "version") == "1" ? "model" : "id", text_or(version, "id")), state);
  std::string more;
  if (state == "hot") {
    if (const double seconds = number_or(version, "last_load_seconds", -1); seconds >= 0) {
      more = "loaded in " + format_seconds(seconds);
    }
    if (const std::uint64_t bytes = bytes_of(version); bytes > 0) {
      more += fmt::format("{}{}, context {}", more.empty() ? "" : ", ", size_text(bytes),
                          text_or(version, "n_ctx"));
    }
  }
  if (version.value("pinned", false)) more += more.empty() ? "pinned" : ", pinned";
  return more.empty() ? line + "\n" : fmt::format("{} ({})\n", line, more);
}

}  // namespace switchyard::cli
