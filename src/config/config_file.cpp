#include "config/config_file.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>

#include "config/section.h"
#include "config/yaml_reader.h"

namespace switchyard::config {
namespace {

constexpr std::size_t kLargestFile = 16U << 20;

constexpr Key<LimitsSection> kLimits[] = {
    {"memory_budget", "size", "memory or cgroup limit less 10 % (at least 512 MiB)",
     "Bytes that all models together may take on the host.", SWITCHYARD_READ(memory_budget)},
    {"device_budgets", "map of device to size", "a device's memory less 5 % (at least 1 GiB)",
     "Bytes that all models together may take on a ggml device (`CUDA0: 20GiB`).",
     SWITCHYARD_READ(device_budgets)},
    {"models_max", "count", "4",
     "Most hot engines at once, loading and draining ones included; 0 for no limit.",
     SWITCHYARD_READ(models_max)},
    {"max_wait", "duration", "5s", "A held request waits this long before a busy model must give way.",
     SWITCHYARD_READ(max_wait)},
    {"min_residency", "duration", "four times its load time, at most `max_wait`",
     "Least time a busy model stays hot while others wait.", SWITCHYARD_READ(min_residency)},
    {"retry_backoff", "duration", "1s", "Wait after a failed load before the next try; doubles each time.",
     SWITCHYARD_READ(retry_backoff)},
    {"retry_backoff_max", "duration", "5m", "Longest such wait.", SWITCHYARD_READ(retry_backoff_max)},
    {"cores", "count", "physical cores", "Cores that busy engines share.", SWITCHYARD_READ(cores)},
    {"restore_resident", "true or false", "true",
     "Whether a start brings back what was in memory, in the order of its use, into free room.",
     SWITCHYARD_READ(restore_resident)},
    {"shed_under_pressure", "true or false", "true",
     "Whether parked models, then idle ones, are unloaded when the machine runs out of memory.",
     SWITCHYARD_READ(shed_under_pressure)},
    {"max_queue_per_model", "count", "256",
     "Requests that may wait for one version, beyond those that its slots work for; more get a 429. 0 for no "
     "limit.",
     SWITCHYARD_READ(max_queue_per_model)},
    {"max_queue", "count", "1024", "Requests that may wait for all of them; 0 for no limit.",
     SWITCHYARD_READ(max_queue)},
    {"slow_reader_timeout", "duration", "1m",
     "A client that leaves 64 KiB of its stream unread for this long loses it, so that the model is free; 0 "
     "for "
     "never.",
     SWITCHYARD_READ(slow_reader_timeout)},
    {"keep_slot_for", "duration", "30s",
     "After a tenant's last request one slot of a busy model is kept free for its next one for this long; 0 "
     "for never.",
     SWITCHYARD_READ(keep_slot_for)},
    {"max_bodies", "size", "1 GiB, at least `max_body`",
     "Bytes of request bodies in memory at once, those up to 64 KiB not counted; more get a 503.",
     SWITCHYARD_READ(max_bodies)},
};

/// One of `words`, or a report.
void read_word(YamlReader& reader, const YAML::Node& node, std::optional<std::string>& out,
               std::initializer_list<std::string_view> words) {
  reader.read(node, out);
  if (!out || std::ranges::find(words, *out) != words.end()) return;
  const std::vector<std::string> names(words.begin(), words.end());
  reader.report(node,
                fmt::format("'{}' is none of {}{}", *out, fmt::join(names, ", "), did_you_mean(*out, names)));
  out.reset();
}

constexpr Key<LogSection> kLog[] = {
    {"format", "`text` or `json`", "text", "How a line is written; `json` is an object a line.",
     [](YamlReader& reader, const YAML::Node& node, LogSection& log) {
       read_word(reader, node, log.format, {"text", "json"});
     }},
    {"level", "`error`, `warning`, `info` or `debug`", "info",
     "Least level that is written; llama.cpp's own lines are `debug` but for its warnings and errors.",
     [](YamlReader& reader, const YAML::Node& node, LogSection& log) {
       read_word(reader, node, log.level, {"error", "warning", "info", "debug"});
     }},
    {"requests", "true or false", "true",
     "A line for each request that asks for a model, changes something or fails (the others at `debug`).",
     SWITCHYARD_READ(requests)},
    {"prompts", "true or false", "false", "Whether that line has the request's body (16 KiB at most).",
     SWITCHYARD_READ(prompts)},
};

constexpr Key<ConversationsSection> kConversations[] = {
    {"memory", "size", "256 MiB, at most a sixteenth of the memory budget",
     "Most bytes of conversations kept in memory, taken off the memory budget; 0 for none.",
     [](YamlReader& reader, const YAML::Node& node, ConversationsSection& section) {
       reader.read_from_zero(node, section.memory);
     }},
    {"disk", "size", "4 GiB",
     "Most bytes of conversations kept in the data folder, over restarts too; 0 for none.",
     [](YamlReader& reader, const YAML::Node& node, ConversationsSection& section) {
       reader.read_from_zero(node, section.disk);
     }},
    {"shared", "true or false", "false",
     "Whether keys go on from each other's prompts: a common beginning is evaluated once for all "
     "of them, and `cached_tokens` tells each what others have asked.",
     SWITCHYARD_READ(shared)},
};

constexpr Key<ServerSection> kServer[] = {
    {"default_model", "text", "the only model, if there is one", "Answers requests that name no model.",
     [](YamlReader& reader, const YAML::Node& node, ServerSection& server) {
       reader.read(node, server.default_model);
       server.default_model_line = YamlReader::line_of(node);
     }},
    {"host", "text", "127.0.0.1", "Addresses to listen on, comma-separated, or a path ending in `.sock`.",
     SWITCHYARD_READ(host)},
    {"port", "count", "8080", "Port to listen on; 0 picks a free one.",
     [](YamlReader& reader, const YAML::Node& node, ServerSection& server) {
       reader.read(node, server.port);
       if (server.port.value_or(0) > 65535) reader.report(node, "a port is at most 65535");
     }},
    {"api_keys", "list of text", "none", "Keys of which one is asked for; all of them have every right.",
     SWITCHYARD_READ(api_keys)},
    {"api_key_file", "path", "none", "File with one key a line; `#` begins a comment.",
     SWITCHYARD_READ(api_key_file)},
    {"admin_key_file", "path", "none",
     "File with a key that has every right; made, with a new key, where there is none.",
     SWITCHYARD_READ(admin_key_file)},
    {"models_dir", "path", "none",
     "Folder of models: each GGUF file, each sub-folder with split or multimodal files.",
     SWITCHYARD_READ(models_dir)},
    {"models_preset", "path", "none", "llama.cpp INI presets.", SWITCHYARD_READ(models_preset)},
    {"autoload", "true or false", "true", "Whether a request makes its model hot.",
     SWITCHYARD_READ(autoload)},
    {"api_prefix", "text", "none", "Stands before every path.", SWITCHYARD_READ(api_prefix)},
    {"tls_key_file", "path", "none",
     "PEM key; with `tls_cert_file` the server speaks TLS, on Unix sockets too (where the commands of "
     "`switchyard` do not).",
     SWITCHYARD_READ(tls_key_file)},
    {"tls_cert_file", "path", "none", "PEM certificate.", SWITCHYARD_READ(tls_cert_file)},
    {"cors_origins", "text", "*", "Allowed origins, comma-separated; `localhost` for local ones only.",
     SWITCHYARD_READ(cors_origins)},
    {"data_dir", "path", "$XDG_DATA_HOME/switchyard or ~/.local/share/switchyard",
     "Where what was learnt of models, aliases and their history are kept over restarts.",
     SWITCHYARD_READ(data_dir)},
    {"shutdown_timeout", "duration", "30s", "Longest wait for held and running requests at shutdown.",
     SWITCHYARD_READ(shutdown_timeout)},
    {"watch", "duration", "never",
     "How often the files behind the configuration and the models folder are looked at: what has changed, "
     "and then held still for that long, is reloaded.",
     SWITCHYARD_READ(watch)},
    {"max_body", "size", "512 MiB", "Largest request body.", SWITCHYARD_READ(max_body)},
    {"allowed_dirs", "list of paths", "wherever the configuration says",
     "Folders from which files of models may be loaded, links followed; relative to this file.",
     SWITCHYARD_READ(allowed_dirs)},
};

using HealthSection = SettingsSection::Health;
constexpr Key<HealthSection> kHealth[] = {
    {"interval", "duration", "60s",
     "A hot model that has answered nobody for so long generates one token as a probe; 0 for no probes.",
     SWITCHYARD_READ(interval)},
    {"healthy", "duration", "1s", "A probe that takes less is a healthy model's.", SWITCHYARD_READ(healthy)},
    {"degraded", "duration", "5s",
     "One that takes less is a degraded model's; then it is given up and failed.", SWITCHYARD_READ(degraded)},
    {"failures", "count", "3",
     "Probes in a row without a sign of life until the engine is replaced. A slow one is not.",
     SWITCHYARD_READ(failures)},
    {"stuck_after", "duration", "60s",
     "An engine whose work has not gone on for so long is stuck: it is replaced.",
     SWITCHYARD_READ(stuck_after)},
    {"quarantine_after", "count", "5",
     "Failures within ten minutes until it is not loaded any more; 0 for never.",
     SWITCHYARD_READ(quarantine_after)},
    {"backoff", "duration", "1s",
     "Wait before the second try to load what failed; doubles each time, and is spread by up to half.",
     SWITCHYARD_READ(backoff)},
    {"backoff_max", "duration", "5m", "Longest such wait.", SWITCHYARD_READ(backoff_max)},
};

template <typename Section>
void read_health(YamlReader& reader, const YAML::Node& node, Section& section) {
  HealthSection& health = section.settings.health;
  read_section(reader, node, "health", health, kHealth);
  if (health.healthy && health.degraded && *health.healthy > *health.degraded)
    reader.report(node, "'healthy' is more than 'degraded'");
}
constexpr std::string_view kHealthMeaning = "How its health is judged, and what is done when it has none.";

template <typename Section>
void read_isolation(YamlReader& reader, const YAML::Node& node, Section& section) {
  reader.read(node, section.isolation.isolation, parse_isolation);
}
template <typename Section>
void read_worker_cpus(YamlReader& reader, const YAML::Node& node, Section& section) {
  reader.read(node, section.isolation.cpus, parse_cpus);
}
template <typename Section>
void read_worker_nice(YamlReader& reader, const YAML::Node& node, Section& section) {
  constexpr std::uint32_t kMost = 19;
  reader.read(node, section.isolation.nice);
  if (section.isolation.nice.value_or(0) > kMost) reader.report(node, "nice is from 0 to 19");
}

void read_idle_time(YamlReader& reader, const YAML::Node& node, std::optional<Duration>& out) {
  if (node.IsScalar() && node.Scalar() == "never") {
    out = kNever;
  } else {
    reader.read(node, out);
  }
}
#define SWITCHYARD_READ_IDLE(member)                              \
  [](YamlReader& reader, const YAML::Node& node, auto& section) { \
    read_idle_time(reader, node, section.settings.member);        \
  }

constexpr Key<DefaultsSection> kDefaults[] = {
    {"args", "map of option to value", "none", "llama-server options for every model, without dashes.",
     SWITCHYARD_READ(args)},
    {"park_after", "duration", "never", "`park_after` for models that do not say.",
     SWITCHYARD_READ_IDLE(park_after)},
    {"unload_after", "duration", "never", "`unload_after` for models that do not say.",
     SWITCHYARD_READ_IDLE(unload_after)},
    {"drain_timeout", "duration", "30s", "`drain_timeout` for models that do not say.",
     SWITCHYARD_READ(settings.drain_timeout)},
    {"weight", "number", "1.0", "`weight` for models that do not say.", SWITCHYARD_READ(settings.weight)},
    {"health", "section", "", "`health` for models that do not say, key by key.",
     read_health<DefaultsSection>},
    {"isolation", "none or process", "none", "`isolation` for models that do not say.",
     read_isolation<DefaultsSection>},
    {"worker_memory", "size", "no limit", "`worker_memory` for models that do not say.",
     SWITCHYARD_READ(isolation.memory)},
    {"worker_cpus", "list of processors", "all", "`worker_cpus` for models that do not say.",
     read_worker_cpus<DefaultsSection>},
    {"worker_nice", "count", "0", "`worker_nice` for models that do not say.",
     read_worker_nice<DefaultsSection>},
};

constexpr std::string_view kFileMeaning =
    "GGUF file (the first part of a split one); relative to the models folder, then to this file.";
constexpr std::string_view kHashMeaning = "Hex SHA-256 that the file must have.";

template <typename Section>
void read_sha256(YamlReader& reader, const YAML::Node& node, Section& section) {
  reader.read(node, section.sha256);
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (!section.sha256.empty() &&
      (section.sha256.size() != 64 || !std::ranges::all_of(section.sha256, is_hex))) {
    reader.report(node, "a SHA-256 has 64 hex digits");
  }
  std::ranges::transform(section.sha256, section.sha256.begin(),
                         [](unsigned char c) { return std::tolower(c); });
}

constexpr Key<VersionSection> kVersions[] = {
    {"version", "text", "required", "Name of the version; requests name it as `model@version`.",
     SWITCHYARD_READ(version)},
    {"file", "path", "required", kFileMeaning, SWITCHYARD_READ(file)},
    {"sha256", "text", "none", kHashMeaning, read_sha256<VersionSection>},
    {"args", "map of option to value", "none", "llama-server options of this version alone.",
     SWITCHYARD_READ(args)},
};

void read_versions(YamlReader& reader, const YAML::Node& node, ModelSection& model) {
  reader.sequence(node, "versions", [&](const YAML::Node& item) {
    VersionSection& version = model.versions.emplace_back();
    version.line = YamlReader::line_of(item);
    read_section(reader, item, "versions[]", version, kVersions);
  });
  if (!node.IsNull() && model.versions.empty()) reader.report(node, "versions has no entry");
}

constexpr Key<ModelSection> kModels[] = {
    {"id", "text", "required", "Name that requests use.", SWITCHYARD_READ(id)},
    {"versions", "list", "one version \"1\"",
     "Versions, oldest first; the last one is what the id alone means, once it has answered.", read_versions},
    {"file", "path", "the models folder's or preset's file of this id",
     "Shorthand for a model of one version. Relative paths as in `versions[].file`.", SWITCHYARD_READ(file)},
    {"sha256", "text", "none", kHashMeaning, read_sha256<ModelSection>},
    {"args", "map of option to value", "none", "llama-server options of this model, all versions.",
     SWITCHYARD_READ(args)},
    {"names", "list of text", "none", "Further names for the model.", SWITCHYARD_READ(names)},
    {"tags", "list of text", "none", "Shown in listings, not used for routing.", SWITCHYARD_READ(tags)},
    {"pin", "true or false", "false", "Never evicted, parked or unloaded by the server itself.",
     SWITCHYARD_READ(settings.pin)},
    {"preload", "true or false", "false", "Made hot at start.", SWITCHYARD_READ(settings.preload)},
    {"park_after", "duration", "never",
     "Idle time until the context is freed and the weights kept, or `never`.",
     SWITCHYARD_READ_IDLE(park_after)},
    {"unload_after", "duration", "never", "Idle time until nothing is kept, or `never`.",
     SWITCHYARD_READ_IDLE(unload_after)},
    {"weight", "number", "1.0", "A model with twice the weight is kept twice as long.",
     SWITCHYARD_READ(settings.weight)},
    {"drain_timeout", "duration", "30s",
     "Longest wait for running replies when the model is unloaded on request.",
     SWITCHYARD_READ(settings.drain_timeout)},
    {"health", "section", "", kHealthMeaning, read_health<ModelSection>},
    {"isolation", "none or process", "none",
     "`process`: each version's engine lives in a worker process, which may die alone (docs/reliability.md).",
     read_isolation<ModelSection>},
    {"worker_memory", "size", "no limit",
     "Most bytes of its own that a worker may have: heap, KV cache, stacks; not the mapped model file.",
     SWITCHYARD_READ(isolation.memory)},
    {"worker_cpus", "list of processors", "all", "Processors that a worker may run on (`0-3,8`).",
     read_worker_cpus<ModelSection>},
    {"worker_nice", "count", "0", "How much a worker gives way to other processes, from 0 to 19.",
     read_worker_nice<ModelSection>},
};

constexpr Key<ArmSection> kArms[] = {
    {"to", "text", "required", "`model` or `model@version`.", SWITCHYARD_READ(to)},
    {"weight", "number", "required", "Its share in percent; those of an alias add up to 100.",
     SWITCHYARD_READ(weight)},
};

constexpr Key<StickySection> kSticky[] = {
    {"header", "text", "none", "Request header that says who asks, such as `x-user-id`.",
     SWITCHYARD_READ(header)},
};

constexpr Key<ShadowSection> kShadow[] = {
    {"to", "text", "required", "The version that gets the copies: `model` or `model@version`.",
     SWITCHYARD_READ(to)},
    {"fraction", "number", "0.1", "Of the requests, above 0 and at most 1.", SWITCHYARD_READ(fraction)},
    {"similarity_model", "text", "none",
     "An embedding model that says how near two replies are; used while it is hot.",
     SWITCHYARD_READ(similarity_model)},
    {"keep_replies", "flag", "false",
     "Keeps prompts and both replies of the newest 100 pairs in the data folder, for who has the scope "
     "`admin`.",
     SWITCHYARD_READ(keep_replies)},
    {"beside_users", "flag", "false", "Copies run beside users' requests, and not only between them.",
     SWITCHYARD_READ(beside_users)},
    {"max_tokens", "count", "as the request says", "The longest reply to a copy.",
     SWITCHYARD_READ(max_tokens)},
};

constexpr Key<AliasSection> kAliases[] = {
    {"name", "text", "required", "Public name.", SWITCHYARD_READ(name)},
    {"to", "text", "this or split", "What it means: `model` or `model@version`.", SWITCHYARD_READ(to)},
    {"split", "list", "none", "Several versions that share its requests.",
     [](YamlReader& r, const YAML::Node& n, AliasSection& alias) {
       r.sequence(n, "split", [&](const YAML::Node& item) {
         read_section(r, item, "split[]", alias.split.emplace_back(), kArms);
       });
     }},
    {"sticky", "section", "",
     "By what a request stays with its arm. Without it, or where the header is missing: the `user` of its "
     "body, "
     "its key, its conversation.",
     [](YamlReader& r, const YAML::Node& n, AliasSection& alias) {
       read_section(r, n, "sticky", alias.sticky, kSticky);
     }},
    {"fallbacks", "list of text", "none",
     "Models or versions that answer while it cannot: has failed, is quarantined, or comes back and another "
     "is hot. Tried in this order; the reply says so (`x-switchyard-fallback`).",
     SWITCHYARD_READ(fallbacks)},
    {"shadow", "section", "", "Copies some of its requests to another version and compares the replies.",
     [](YamlReader& r, const YAML::Node& n, AliasSection& alias) {
       read_section(r, n, "shadow", alias.shadow.emplace(), kShadow);
     }},
};

void read_models(YamlReader& reader, const YAML::Node& node, ConfigFile& config) {
  reader.sequence(node, "models", [&](const YAML::Node& item) {
    ModelSection& model = config.models.emplace_back();
    model.line = YamlReader::line_of(item);
    read_section(reader, item, "models[]", model, kModels);
  });
}

void read_aliases(YamlReader& reader, const YAML::Node& node, ConfigFile& config) {
  reader.sequence(node, "aliases", [&](const YAML::Node& item) {
    AliasSection& alias = config.aliases.emplace_back();
    alias.line = YamlReader::line_of(item);
    read_section(reader, item, "aliases[]", alias, kAliases);
  });
}

constexpr Key<ConfigFile> kTop[] = {
    {"server", "section", "", "How the server listens and where it looks for models.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) {
       read_section(r, n, "server", c.server, kServer);
     }},
    {"limits", "section", "", "What all models together may take.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) {
       read_section(r, n, "limits", c.limits, kLimits);
     }},
    {"log", "section", "", "What is written to standard error.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) { read_section(r, n, "log", c.log, kLog); }},
    {"conversations", "section", "", "Where conversations stay while their model is away.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) {
       read_section(r, n, "conversations", c.conversations, kConversations);
     }},
    {"alerts", "section", "", "What is watched, from which value on it is told, and to whom.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) { read_alerts(r, n, c.alerts); }},
    {"defaults", "section", "", "For every model that does not say otherwise.",
     [](YamlReader& r, const YAML::Node& n, ConfigFile& c) {
       read_section(r, n, "defaults", c.defaults, kDefaults);
     }},
    {"models", "list", "", "Models, added to those of the models folder and the presets.", read_models},
    {"aliases", "list", "", "Public names that can be switched between versions.", read_aliases},
};
#undef SWITCHYARD_READ

bool is_plain_name(std::string_view name) {
  return name.find_first_of("@\n\r\t") == std::string_view::npos && name.front() != ' ' && name.back() != ' ';
}

void check_model(YamlReader& reader, const ModelSection& model) {
  if (model.id.empty()) return reader.report_at(model.line, "a model needs an id");
  std::vector<std::string> names = model.names;
  names.push_back(model.id);
  for (const std::string& name : names) {
    if (!is_plain_name(name))
      reader.report_at(model.line, fmt::format("'{}' is no name; '@' separates the version", name));
  }
  if (!model.versions.empty() && (!model.file.empty() || !model.sha256.empty())) {
    reader.report_at(model.line,
                     fmt::format("model '{}' has both versions and a file of its own; move the file "
                                 "into a version",
                                 model.id));
  }
  std::set<std::string> seen;
  for (const VersionSection& version : model.versions) {
    if (version.version.empty()) {
      reader.report_at(version.line,
                       fmt::format("a version of model '{}' needs a name (version: \"1\")", model.id));
    } else if (!is_plain_name(version.version)) {
      reader.report_at(version.line, fmt::format("'{}' is no version name", version.version));
    } else if (!seen.insert(version.version).second) {
      reader.report_at(version.line,
                       fmt::format("model '{}' has version '{}' twice", model.id, version.version));
    }
    if (version.file.empty() && !version.args.contains("hf-repo") && !model.args.contains("hf-repo")) {
      reader.report_at(version.line,
                       fmt::format("version '{}' of model '{}' needs a file", version.version, model.id));
    }
  }
}

void check_names(YamlReader& reader, const ConfigFile& config) {
  std::map<std::string, int> lines;
  const auto claim = [&](const std::string& name, int line) {
    if (name.empty()) return;
    const auto [first, is_new] = lines.emplace(name, line);
    if (!is_new) reader.report_at(line, fmt::format("'{}' is taken already (line {})", name, first->second));
  };
  for (const ModelSection& model : config.models) {
    check_model(reader, model);
    claim(model.id, model.line);
    for (const std::string& name : model.names) claim(name, model.line);
  }
  for (const AliasSection& alias : config.aliases) {
    if (alias.name.empty() || (alias.to.empty() && alias.split.empty()))
      reader.report_at(alias.line, "an alias needs a name and a 'to'");
    else if (!alias.to.empty() && !alias.split.empty())
      reader.report_at(alias.line, "an alias has a 'to' or a 'split', not both");
    else if (!is_plain_name(alias.name))
      reader.report_at(alias.line, fmt::format("'{}' is no name", alias.name));
    claim(alias.name, alias.line);
  }
  if (config.server.tls_key_file.has_value() != config.server.tls_cert_file.has_value()) {
    reader.report_at(1, "tls_key_file and tls_cert_file are needed both");
  }
}

/// Hears where a document begins.
struct DocumentStart final : YAML::EventHandler {
  int line = 0;
  void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

/// 0 when there is none. YAML::LoadAll() would tell, too, but finds documents without end in ",[": at a
/// stray comma yaml-cpp 0.7 ends a document and leaves the comma for the next one.
int line_of_second_document(std::string_view text) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  DocumentStart start;
  if (!parser.HandleNextDocument(start)) return 0;
  return parser.HandleNextDocument(start) ? start.line : 0;
}

}  // namespace

std::string beside(const std::string& config_path, const std::string& file) {
  const std::filesystem::path path(file);
  if (file.empty() || path.is_absolute()) return file;
  std::error_code error;
  const std::filesystem::path local =
      std::filesystem::absolute(config_path, error).parent_path().append(file).lexically_normal();
  return std::filesystem::exists(local, error) ? local.string() : file;
}

Result<ConfigFile> parse_config(std::string_view text, const std::string& path) {
  YamlReader reader(path);
  ConfigFile config;
  config.path = path;
  try {
    if (const int line = line_of_second_document(text); line > 0)
      reader.report_at(line, "the file must be one YAML document, not several");
    read_section(reader, YAML::Load(std::string(text)), "the file", config, kTop);
    check_names(reader, config);
  } catch (const YAML::DeepRecursion& e) {
    reader.report_at(std::max(e.mark.line, 0) + 1, "brackets or lists are nested too deeply");
  } catch (const YAML::Exception& e) {
    reader.report_at(std::max(e.mark.line, 0) + 1, e.msg);
  }
  if (reader.problems().empty()) return config;
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}", fmt::join(reader.problems(), "\n")));
}

Result<ConfigFile> load_config_file(const std::string& path) {
  std::error_code error;
  // Only the kind is looked at first: opening a FIFO would wait for somebody to write into it.
  if (const auto kind = std::filesystem::status(path, error).type();
      kind != std::filesystem::file_type::regular && std::filesystem::exists(path, error)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("config file '{}' is no regular file", path));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > kLargestFile) {
    return fail(ErrorCode::kTooLarge, fmt::format("config file '{}' is larger than 16 MiB", path));
  }
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (error || !file || (size > 0 && !(text << file.rdbuf()))) {
    return fail(ErrorCode::kNotFound, fmt::format("config file '{}' cannot be read", path),
                error ? error.message() : std::string());
  }
  return parse_config(text.str(), path);
}

std::vector<DocumentedKey> documented_keys() {
  std::vector<DocumentedKey> keys;
  document<ConfigFile>(keys, "", kTop);
  document<ServerSection>(keys, "server", kServer);
  document<LimitsSection>(keys, "limits", kLimits);
  document<LogSection>(keys, "log", kLog);
  document<ConversationsSection>(keys, "conversations", kConversations);
  document_alerts(keys);
  document<DefaultsSection>(keys, "defaults", kDefaults);
  document<ModelSection>(keys, "models[]", kModels);
  document<HealthSection>(keys, "models[].health", kHealth);
  document<VersionSection>(keys, "models[].versions[]", kVersions);
  document<AliasSection>(keys, "aliases[]", kAliases);
  document<ArmSection>(keys, "aliases[].split[]", kArms);
  document<StickySection>(keys, "aliases[].sticky", kSticky);
  document<ShadowSection>(keys, "aliases[].shadow", kShadow);
  return keys;
}

}  // namespace switchyard::config
