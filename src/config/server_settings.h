#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/alert_settings.h"
#include "config/config_file.h"
#include "engine/api/engine.h"
#include "switchyard/byte_size.h"
#include "switchyard/result.h"

namespace switchyard::config {

/// How the whole server is set up, with every default filled in.
struct ServerSettings {
  std::vector<std::string> hosts = {"127.0.0.1"};
  std::uint16_t port = 8080;
  bool reuse_port = false;
  std::string tls_key_file, tls_cert_file;
  std::vector<std::string> api_keys;
  std::string api_key_file;             ///< of which some of them are
  std::string admin_key_file;           ///< empty: none; made at the start where there is none
  std::vector<std::string> admin_keys;  ///< that are in it; they count as api_keys do
  std::string cors_origins = "*", cors_methods = "GET, POST, PUT, DELETE, OPTIONS", cors_headers = "*";
  bool cors_credentials = true;
  std::string api_prefix;
  std::chrono::seconds write_timeout{3600};
  ByteSize max_body = ByteSize::mib(512);
  std::uint32_t max_calls = 1024;  ///< requests that may work at once (--threads-http)
  std::string models_dir, models_preset;
  bool autoload = true;
  std::string default_model;  ///< empty: the only model, if there is one
  std::string data_dir;
  Duration shutdown_timeout = std::chrono::seconds(30);
  Duration watch{};  ///< between two looks for changed files; 0: none
  std::string hf_token;
  bool offline = false;
  ByteSize conversations_on_disk = ByteSize::gib(4);  ///< 0: none; in memory: models::Limits
  bool shared_conversations = false;                  ///< among keys
  std::uint32_t cores = 0;                            ///< that busy engines share; 0 = physical
  bool restore_resident = true;                       ///< what was in memory comes back at the next start
  bool shed_under_pressure = true;                    ///< unloads what is idle when memory runs out
  AlertSettings alerts;
  std::vector<std::string> allowed_dirs;                      ///< of models' files; empty: any
  std::uint32_t max_queue_per_model = 256, max_queue = 1024;  ///< waiting requests; 0: any number
  Duration slow_reader_timeout = std::chrono::minutes(1);     ///< 0: never
  Duration keep_slot_for = std::chrono::seconds(30);          ///< 0: never
  ByteSize max_bodies = ByteSize::gib(1);                     ///< of all requests at once
  bool log_json = false;
  bool log_requests = true, log_prompts = false;
  int log_level = 3;  ///< as llama-server's --verbosity: 1 errors, 2 warnings, 3 information, 4 and above all
  bool operator==(const ServerSettings&) const = default;
};

/// Options that are only our own, as given on the command line.
struct OwnOptions {
  std::string config_path;
  std::optional<std::string> admin_key_file;
  std::optional<ByteSize> memory_budget;
  std::optional<std::string> data_dir;
  std::optional<Duration> shutdown_timeout;
  std::optional<Duration> watch;
  std::optional<std::string> default_model;
  std::optional<std::string> log_format;
  std::optional<engine::Isolation> isolation;  ///< of models that do not say
};

/// Where everything was said: command line > YAML file > environment.
struct Sources {
  OwnOptions own;
  engine::ArgMap command_line;  ///< llama-server's options, canonical
  engine::ArgMap environment;
};

/// Merges what speaks to the whole server. Errors: kInvalidArgument, kUnimplemented for llama-server's
/// features that this server does not have, kNotFound for a missing key file.
[[nodiscard]] Result<ServerSettings> build_server_settings(const Sources& sources, const ConfigFile& file);

/// Whether tenants have keys, which are in the data folder.
enum class TenantKeys : std::uint8_t { kNone, kSome };
/// kPermissionDenied, with what to do, when others could reach the server and no key is asked for.
[[nodiscard]] Status check_exposure(const ServerSettings& settings,
                                    TenantKeys tenant_keys = TenantKeys::kNone);

/// $XDG_DATA_HOME/switchyard, ~/.local/share/switchyard, or empty when neither can be named.
[[nodiscard]] std::string default_data_dir();

}  // namespace switchyard::config
