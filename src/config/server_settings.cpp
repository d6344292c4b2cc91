#include "config/server_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace switchyard::config {
namespace {

/// Options that need a part which this server does not have. Their "off" forms are no news.
struct Missing {
  std::string_view name;
  std::string_view unless;  ///< this value is fine
  std::string_view why;
};
constexpr std::string_view kNoUi = "no web UI is built in; any client of the OpenAI API can be used";
constexpr std::string_view kNoTools = "built-in tools and MCP are not available in this server";
constexpr std::string_view kOneLog = "the log goes to standard error, with time and level; redirect it";
constexpr Missing kMissing[] = {
    {"webui", "false", kNoUi},
    {"webui-config", "", kNoUi},
    {"webui-config-file", "", kNoUi},
    {"webui-mcp-proxy", "false", kNoTools},
    {"path", "", "static files are not served"},
    {"tools", "", kNoTools},
    {"tools-runtime", "", kNoTools},
    {"mcp-servers-config", "", kNoTools},
    {"mcp-servers-json", "", kNoTools},
    {"agent", "false", kNoTools},
    {"log-file", "", kOneLog},
    {"log-jsonl", "false", kOneLog},
    {"log-colors", "off", kOneLog},
    {"log-prefix", "true", kOneLog},
    {"log-timestamps", "true", kOneLog},
};

/// A comma-separated list without its blanks, quotes and empty items.
std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    std::string item = list.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t first = item.find_first_not_of(" \t\"");
    if (first == std::string::npos) continue;
    items.push_back(item.substr(first, item.find_last_not_of(" \t\"") - first + 1));
  }
  return items;
}

Result<std::vector<std::string>> keys_in(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(ErrorCode::kNotFound, fmt::format("API key file '{}' cannot be read", path));
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(line);
  }
  if (keys.empty()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("API key file '{}' holds no key", path));
  }
  return keys;
}

/// One option by precedence. The option's text, or null where nobody gave it.
class Chosen {
 public:
  explicit Chosen(const Sources& sources) : sources_(sources) {}

  void text(const char* option, const std::optional<std::string>& yaml, std::string& out) const {
    if (const std::string* given = find(sources_.command_line, option))
      out = *given;
    else if (yaml)
      out = *yaml;
    else if (const std::string* variable = find(sources_.environment, option))
      out = *variable;
  }
  void text(const char* option, std::string& out) const { text(option, std::nullopt, out); }
  void flag(const char* option, const std::optional<bool>& yaml, bool& out) const {
    std::string value;
    text(option, yaml ? std::optional<std::string>(*yaml ? "true" : "false") : std::nullopt, value);
    if (!value.empty()) out = value == "true";
  }
  /// Where nobody gave it `otherwise`. The option tables have checked that it is a number.
  [[nodiscard]] int number(const char* option, std::optional<std::uint32_t> yaml, int otherwise) const {
    std::string value;
    text(option, yaml ? std::optional(std::to_string(*yaml)) : std::nullopt, value);
    return value.empty() ? otherwise : std::atoi(value.c_str());
  }

 private:
  static const std::string* find(const engine::ArgMap& args, const char* option) {
    const auto found = args.find(option);
    return found == args.end() ? nullptr : &found->second;
  }
  const Sources& sources_;
};

Status refuse_missing(const engine::ArgMap& args) {
  for (const Missing& missing : kMissing) {
    const auto found = args.find(std::string(missing.name));
    if (found == args.end() || found->second == missing.unless) continue;
    if (missing.name == "log-colors" && found->second == "auto") continue;
    return fail(ErrorCode::kUnimplemented,
                fmt::format("option '{}' is not available: {}", missing.name, missing.why));
  }
  return {};
}

Status choose_keys(const Sources& sources, const ServerSection& yaml, ServerSettings& settings) {
  std::vector<std::string>& keys = settings.api_keys;
  // A level that names any key replaces the levels below; --api-key and --api-key-file add up, as in
  // llama-server.
  const auto from = [&](const engine::ArgMap& args) -> Result<bool> {
    if (const auto list = args.find("api-key"); list != args.end()) keys = split(list->second);
    if (const auto path = args.find("api-key-file"); path != args.end()) {
      settings.api_key_file = path->second;
      const Result<std::vector<std::string>> more = keys_in(path->second);
      if (!more) return std::unexpected(more.error());
      keys.insert(keys.end(), more->begin(), more->end());
    }
    return args.contains("api-key") || args.contains("api-key-file");
  };
  const Result<bool> given = from(sources.command_line);
  if (!given) return std::unexpected(given.error());
  if (*given) return {};
  if (yaml.api_keys || yaml.api_key_file) {
    keys = yaml.api_keys.value_or(std::vector<std::string>{});
    if (!yaml.api_key_file) return {};
    settings.api_key_file = *yaml.api_key_file;
    const Result<std::vector<std::string>> more = keys_in(settings.api_key_file);
    if (!more) return std::unexpected(more.error());
    keys.insert(keys.end(), more->begin(), more->end());
    return {};
  }
  const Result<bool> variable = from(sources.environment);
  if (!variable) return std::unexpected(variable.error());
  return {};
}

/// One that is not there yet is made by whoever starts the server.
Status read_admin_keys(ServerSettings& settings) {
  std::error_code error;
  if (settings.admin_key_file.empty() || !std::filesystem::exists(settings.admin_key_file, error)) return {};
  Result<std::vector<std::string>> keys = keys_in(settings.admin_key_file);
  if (!keys) return std::unexpected(keys.error());
  settings.admin_keys = std::move(*keys);
  return {};
}

std::optional<std::string> beside(const ConfigFile& file, const std::optional<std::string>& path) {
  return path ? std::optional(config::beside(file.path, *path)) : std::nullopt;
}

void choose_log(const Chosen& chosen, const Sources& sources, const LogSection& yaml,
                ServerSettings& settings) {
  settings.log_json = sources.own.log_format.value_or(yaml.format.value_or("text")) == "json";
  settings.log_requests = yaml.requests.value_or(settings.log_requests);
  settings.log_prompts = yaml.prompts.value_or(settings.log_prompts);
  std::optional<std::uint32_t> level;
  if (yaml.level)
    level = *yaml.level == "error" ? 1 : *yaml.level == "warning" ? 2 : *yaml.level == "info" ? 3 : 4;
  settings.log_level = chosen.number("log-verbosity", level, 3);
  std::string verbose, disable;
  chosen.text("log-verbose", verbose);
  chosen.text("log-disable", disable);
  if (verbose == "true") settings.log_level = 5;
  if (disable == "true") settings.log_level = 1;
}

Status check_ranges(const ServerSettings& settings, int port) {
  if (port < 0 || port > 65535)
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--port {} is no port: it is from 0 (a free one) to 65535", port));
  if (settings.hosts.empty()) return fail(ErrorCode::kInvalidArgument, "--host needs an address");
  if (settings.tls_key_file.empty() != settings.tls_cert_file.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--ssl-key-file and --ssl-cert-file are needed both");
  }
  const std::string& prefix = settings.api_prefix;
  if (!prefix.empty() && (!prefix.starts_with('/') || prefix.ends_with('/'))) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("--api-prefix '{}' must begin with '/' and not end with it", prefix));
  }
  return {};
}

}  // namespace

Result<ServerSettings> build_server_settings(const Sources& sources, const ConfigFile& file) {
  for (const engine::ArgMap* args : {&sources.command_line, &sources.environment}) {
    if (const Status none = refuse_missing(*args); !none) return std::unexpected(none.error());
  }
  const Chosen chosen(sources);
  ServerSection yaml = file.server;
  for (auto* path : {&yaml.api_key_file, &yaml.admin_key_file, &yaml.models_dir, &yaml.models_preset,
                     &yaml.tls_key_file, &yaml.tls_cert_file}) {
    *path = beside(file, *path);
  }
  ServerSettings settings;
  std::string hosts = "127.0.0.1";
  chosen.text("host", yaml.host, hosts);
  settings.hosts = split(hosts);
  const int port = chosen.number("port", yaml.port, 8080);
  settings.port = static_cast<std::uint16_t>(port);
  chosen.flag("reuse-port", std::nullopt, settings.reuse_port);
  chosen.text("ssl-key-file", yaml.tls_key_file, settings.tls_key_file);
  chosen.text("ssl-cert-file", yaml.tls_cert_file, settings.tls_cert_file);
  if (const Status keys = choose_keys(sources, yaml, settings); !keys) return std::unexpected(keys.error());
  settings.admin_key_file = sources.own.admin_key_file.value_or(yaml.admin_key_file.value_or(""));
  if (const Status keys = read_admin_keys(settings); !keys) return std::unexpected(keys.error());
  chosen.text("cors-origins", yaml.cors_origins, settings.cors_origins);
  chosen.text("cors-methods", settings.cors_methods);
  chosen.text("cors-headers", settings.cors_headers);
  chosen.flag("cors-credentials", std::nullopt, settings.cors_credentials);
  chosen.text("api-prefix", yaml.api_prefix, settings.api_prefix);
  settings.write_timeout = std::chrono::seconds(std::max(1, chosen.number("timeout", std::nullopt, 3600)));
  settings.max_body = yaml.max_body.value_or(settings.max_body);
  if (const int calls = chosen.number("threads-http", std::nullopt, -1); calls > 0) {
    settings.max_calls = static_cast<std::uint32_t>(calls);
  }
  chosen.text("models-dir", yaml.models_dir, settings.models_dir);
  chosen.text("models-preset", yaml.models_preset, settings.models_preset);
  chosen.flag("models-autoload", yaml.autoload, settings.autoload);
  settings.default_model = sources.own.default_model.value_or(yaml.default_model.value_or(""));
  settings.data_dir = sources.own.data_dir.value_or(yaml.data_dir.value_or(default_data_dir()));
  settings.shutdown_timeout =
      sources.own.shutdown_timeout.value_or(yaml.shutdown_timeout.value_or(settings.shutdown_timeout));
  settings.watch = sources.own.watch.value_or(yaml.watch.value_or(Duration::zero()));
  chosen.text("hf-token", settings.hf_token);
  chosen.flag("offline", std::nullopt, settings.offline);
  settings.conversations_on_disk = file.conversations.disk.value_or(settings.conversations_on_disk);
  settings.shared_conversations = file.conversations.shared.value_or(settings.shared_conversations);
  settings.cores = file.limits.cores.value_or(0);
  settings.restore_resident = file.limits.restore_resident.value_or(true);
  settings.shed_under_pressure = file.limits.shed_under_pressure.value_or(true);
  Result<AlertSettings> alerts = build_alert_settings(file);
  if (!alerts) return std::unexpected(alerts.error());
  settings.alerts = std::move(*alerts);
  choose_log(chosen, sources, file.log, settings);
  for (const std::string& folder : yaml.allowed_dirs.value_or(std::vector<std::string>{}))
    settings.allowed_dirs.push_back(config::beside(file.path, folder));
  settings.max_queue_per_model = file.limits.max_queue_per_model.value_or(settings.max_queue_per_model);
  settings.max_queue = file.limits.max_queue.value_or(settings.max_queue);
  settings.slow_reader_timeout = file.limits.slow_reader_timeout.value_or(settings.slow_reader_timeout);
  settings.keep_slot_for = file.limits.keep_slot_for.value_or(settings.keep_slot_for);
  settings.max_bodies = file.limits.max_bodies.value_or(settings.max_bodies);
  if (const Status sound = check_ranges(settings, port); !sound) return std::unexpected(sound.error());
  return settings;
}

Status check_exposure(const ServerSettings& settings, TenantKeys tenant_keys) {
  const bool has_key = !settings.api_keys.empty() || !settings.admin_key_file.empty();
  if (has_key || tenant_keys == TenantKeys::kSome) return {};
  for (const std::string& host : settings.hosts) {
    const bool local = host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.") ||
                       host.ends_with(".sock");
    if (local) continue;
    return fail(
        ErrorCode::kPermissionDenied,
        fmt::format("listening on {} would let others use this server without a key; give --admin-key-file "
                    "FILE, --api-key KEY or --api-key-file FILE, or listen on 127.0.0.1",
                    host));
  }
  return {};
}

std::string default_data_dir() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data == '/') {
    return std::string(data) + "/switchyard";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::string(home) + "/.local/share/switchyard";
  }
  return {};
}

}  // namespace switchyard::config
