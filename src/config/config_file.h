#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/alerts_section.h"
#include "config/isolation.h"
#include "engine/api/engine.h"
#include "switchyard/result.h"

// The YAML file as written: nothing merged, nothing looked up on disk but its own words. Every key
// is in docs/configuration.md; documented_keys() is what the page is checked against.

namespace switchyard::config {

/// An idle time that a model does not have, whatever the level below says: the word `never`.
inline constexpr Duration kNever = Duration::max();

/// How one model is treated; what is not set comes from the level below.
struct SettingsSection {
  std::optional<bool> pin;
  std::optional<bool> preload;
  std::optional<Duration> park_after;    ///< or kNever
  std::optional<Duration> unload_after;  ///< or kNever
  std::optional<double> weight;
  std::optional<Duration> drain_timeout;
  struct Health {
    std::optional<Duration> interval, healthy, degraded, stuck_after, backoff, backoff_max;
    std::optional<std::uint32_t> failures, quarantine_after;
  } health;
};

struct VersionSection {
  int line = 0;
  std::string version;
  std::string file;
  std::string sha256;
  engine::ArgMap args;
};

struct ModelSection {
  int line = 0;
  std::string id;
  std::vector<VersionSection>
      versions;  ///< empty when `file` stands on the model itself or is found elsewhere
  std::string file;
  std::string sha256;
  engine::ArgMap args;
  std::vector<std::string> names;
  std::vector<std::string> tags;
  SettingsSection settings;
  IsolationSection isolation;
};

/// One of the versions that an alias is split over.
struct ArmSection {
  std::string to;
  std::optional<double> weight;
};

struct StickySection {
  std::string header;
};

/// Which version gets copies of an alias's requests.
struct ShadowSection {
  std::string to;  ///< empty: none does
  std::optional<double> fraction;
  std::string similarity_model;
  std::optional<bool> keep_replies, beside_users;
  std::optional<std::uint32_t> max_tokens;
};

struct AliasSection {
  int line = 0;
  std::string name;
  std::string to;  ///< empty where it is split
  std::vector<ArmSection> split;
  StickySection sticky;
  std::vector<std::string> fallbacks;
  std::optional<ShadowSection> shadow;
};

struct LimitsSection {
  std::optional<ByteSize> memory_budget;
  std::map<std::string, ByteSize> device_budgets;
  std::optional<std::uint32_t> models_max;
  std::optional<Duration> max_wait;
  std::optional<Duration> min_residency;
  std::optional<Duration> retry_backoff;
  std::optional<Duration> retry_backoff_max;
  std::optional<std::uint32_t> cores;
  std::optional<bool> restore_resident;
  std::optional<bool> shed_under_pressure;
  std::optional<std::uint32_t> max_queue_per_model;
  std::optional<std::uint32_t> max_queue;
  std::optional<Duration> slow_reader_timeout;
  std::optional<Duration> keep_slot_for;
  std::optional<ByteSize> max_bodies;
};

/// What goes to standard error.
struct LogSection {
  std::optional<std::string> format;
  std::optional<std::string> level;
  std::optional<bool> requests;
  std::optional<bool> prompts;
};

/// Where conversations stay while their model is away.
struct ConversationsSection {
  std::optional<ByteSize> memory;
  std::optional<ByteSize> disk;
  std::optional<bool> shared;
};

struct ServerSection {
  int default_model_line = 0;
  std::optional<std::string> default_model, host, api_key_file, admin_key_file, models_dir, models_preset,
      api_prefix, tls_key_file, tls_cert_file, cors_origins, data_dir;
  std::optional<std::uint32_t> port;
  std::optional<std::vector<std::string>> api_keys;
  std::optional<std::vector<std::string>> allowed_dirs;
  std::optional<bool> autoload;
  std::optional<Duration> shutdown_timeout;
  std::optional<Duration> watch;
  std::optional<ByteSize> max_body;
};

struct DefaultsSection {
  engine::ArgMap args;
  SettingsSection settings;
  IsolationSection isolation;
};

struct ConfigFile {
  std::string path;  ///< as given; errors begin with it
  ServerSection server;
  LimitsSection limits;
  LogSection log;
  ConversationsSection conversations;
  AlertsSection alerts;
  DefaultsSection defaults;
  std::vector<ModelSection> models;
  std::vector<AliasSection> aliases;
};

/// Reads `text` as the file `path`. Errors: kInvalidArgument with all faults, one a line, each as
/// "path:line: what is wrong". Files named in `args` (templates, LoRA, ...) are looked up beside
/// the file. Any thread.
[[nodiscard]] Result<ConfigFile> parse_config(std::string_view text, const std::string& path);
/// Also kNotFound when it cannot be read, kTooLarge above 16 MiB.
[[nodiscard]] Result<ConfigFile> load_config_file(const std::string& path);

/// "dir/file" beside the config file for a relative path that exists there, else `file` itself.
[[nodiscard]] std::string beside(const std::string& config_path, const std::string& file);

struct DocumentedKey {
  std::string_view section;  ///< "limits", "models[]", ...; empty for the top level
  std::string_view name;
  std::string_view type;
  std::string_view fallback;
  std::string_view meaning;
};
[[nodiscard]] std::vector<DocumentedKey> documented_keys();

}  // namespace switchyard::config
