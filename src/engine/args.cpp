#include "engine/args.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "base/nearest.h"
#include "engine/arg_tables.h"

namespace switchyard::engine {
namespace {

namespace utils = common_arg_utils;

// Given more than once on a command line these add up in llama-server; a comma joins their values.
constexpr std::string_view kLists[] = {
    "lora",        "lora-scaled", "control-vector",  "control-vector-scaled",     "alias", "tags", "api-key",
    "override-kv", "spec-type",   "override-tensor", "spec-draft-override-tensor"};
// These add up too, but their values have no separator.
constexpr std::string_view kRepeated[] = {"dry-sequence-breaker", "logit-bias", "reverse-prompt"};

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// Options are found by any spelling; '_' stands for '-' in long names, as on llama.cpp's command line.
const common_arg* find_option(std::string_view key) {
  const auto& options = arg_tables().key_to_opt;
  auto found = options.find(std::string(key));
  if (found == options.end()) {
    std::string dashed(key);
    std::ranges::replace(dashed, '_', '-');
    found = options.find(dashed);
  }
  return found == options.end() ? nullptr : &found->second;
}

std::string_view without_dashes(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  return word;
}

std::string_view without_value(std::string_view word) { return word.substr(0, word.find('=')); }

bool is_negative(const common_arg& option, std::string_view key) {
  std::string dashed(key);
  std::ranges::replace(dashed, '_', '-');
  if (option.env != nullptr && key.starts_with("LLAMA_ARG_NO_")) return key != option.env;
  return std::ranges::any_of(option.args_neg, [&](const char* name) {
    return without_dashes(name) == key || without_dashes(name) == dashed;
  });
}

/// False for a variable's name, which is no word of a command line.
bool is_word(const common_arg& option, std::string_view key) {
  return std::ranges::count(option.get_env(), key) == 0;
}

bool is_flag(const common_arg& option) {
  return option.handler_void != nullptr || option.handler_bool != nullptr;
}

/// `word` as it was given: a key of a file, or with its dashes a word of a command line.
std::unexpected<Error> unknown(std::string_view word, std::span<const std::string> own_names = {}) {
  const bool dashed = word.starts_with('-');
  std::vector<std::string> names(own_names.begin(), own_names.end());
  for (const common_arg& option : arg_tables().ctx_params.options) {
    if (option.is_preset_only && dashed) continue;
    for (const std::string& name : option.get_args()) {
      const std::string_view bare = without_dashes(name);
      if (bare.size() > 2 && !bare.starts_with("__")) names.emplace_back(dashed ? name : bare);
    }
  }
  if (dashed && std::ranges::find(names, word) != names.end()) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("unknown option '{}'; in a file it has no dashes: '{}'", word, without_dashes(word)));
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("unknown option '{}'{}", word, did_you_mean(word, names)));
}

std::unexpected<Error> refused(std::string_view name, std::string_view why) {
  return fail(ErrorCode::kUnimplemented, fmt::format("option '{}' is not available here: {}", name, why));
}

std::unexpected<Error> bad_value(std::string_view name, std::string_view value, std::string_view why) {
  while (why.ends_with('\n')) why.remove_suffix(1);
  if (why.starts_with("error: ")) why.remove_prefix(7);
  return fail(ErrorCode::kInvalidArgument, fmt::format("option '{}' does not take '{}'", name, value),
              std::string(why));
}

Status check_integer(std::string_view name, std::string_view value) {
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc() && end == value.data() + value.size()) return {};
  return bad_value(name, value, "a whole number is needed");
}

Result<std::string> flag_value(const common_arg& option, std::string_view key, const std::string& name,
                               const std::string& value) {
  const bool truthy = utils::is_truthy(value);
  if (!truthy && !utils::is_falsey(value)) return bad_value(name, value, "a flag is true or false");
  return truthy != is_negative(option, key) ? "true" : "false";
}

/// Runs the option's own handler on parameters that nobody uses. Its errors are the answer.
Status try_handler(const common_arg& option, const std::string& name, const std::string& value) {
  try {
    common_params scratch;
    if (option.handler_string != nullptr) option.handler_string(scratch, value);
    if (option.handler_int != nullptr) option.handler_int(scratch, std::stoi(value));
    if (option.handler_bool != nullptr) option.handler_bool(scratch, value == "true");
    if (option.handler_void != nullptr && value == "true") option.handler_void(scratch);
  } catch (const std::exception& e) {
    return bad_value(name, value, e.what());
  }
  return {};
}

Result<CanonicalArg> canonical_locked(const common_arg& option, std::string_view key,
                                      const std::string& value) {
  CanonicalArg arg{.name = canonical_name(option), .value = value, .scope = ArgScope::kModel};
  const ArgRule rule = rule_of(arg.name);
  arg.scope = rule.scope;
  if (rule.scope == ArgScope::kRefused) return refused(arg.name, rule.why);
  if (is_flag(option)) {
    Result<std::string> flag = flag_value(option, key, arg.name, value);
    if (!flag) return std::unexpected(flag.error());
    arg.value = *flag;
  }
  if (option.handler_int != nullptr) {
    if (const Status number = check_integer(arg.name, value); !number) return std::unexpected(number.error());
  }
  // The handlers of process-wide options act at once, so only apply_process_args() calls them.
  // --log-prompts-dir makes its folder there and then: it waits for the load.
  if (rule.scope != ArgScope::kProcess && arg.name != "log-prompts-dir") {
    if (const Status taken = try_handler(option, arg.name, arg.value); !taken)
      return std::unexpected(taken.error());
  }
  return arg;
}

/// Puts one option of a command line into the map: the last one counts, lists add up.
Status add_to(ArgMap& args, CanonicalArg arg) {
  const auto found = args.find(arg.name);
  if (found == args.end()) {
    args.emplace(std::move(arg.name), std::move(arg.value));
  } else if (contains(kLists, arg.name)) {
    found->second += "," + arg.value;
  } else if (contains(kRepeated, arg.name)) {
    return fail(ErrorCode::kUnimplemented, fmt::format("option '{}' can be given once only", arg.name));
  } else {
    found->second = std::move(arg.value);
  }
  return {};
}

}  // namespace

Result<CanonicalArg> canonical_arg(std::string_view key, std::string_view value) {
  const std::scoped_lock lock(arg_tables_mutex());
  const common_arg* option = find_option(key);
  if (option == nullptr) return unknown(key);
  return canonical_locked(*option, key, std::string(value));
}

Result<ArgMap> parse_command_line(std::span<const std::string> words,
                                  std::span<const std::string> own_names) {
  const std::scoped_lock lock(arg_tables_mutex());
  ArgMap args;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view key = without_dashes(words[i]);
    if (!words[i].starts_with('-') || key.empty()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is no option; options begin with '-'", words[i]));
    }
    std::optional<std::string> value;
    const common_arg* option = find_option(key);
    if (const std::size_t equals = key.find('='); option == nullptr && equals != std::string_view::npos) {
      value = std::string(key.substr(equals + 1));
      key = key.substr(0, equals);
      option = find_option(key);
    }
    // Names without dashes are for presets and the environment only.
    if (option == nullptr || option->is_preset_only || !is_word(*option, key))
      return unknown(without_value(words[i]), own_names);
    if (!value && is_flag(*option)) value = "true";
    if (!value && i + 1 == words.size()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("option '{}' needs a value", words[i]));
    }
    if (!value) value = words[++i];
    Result<CanonicalArg> arg = canonical_locked(*option, key, *value);
    if (!arg) return std::unexpected(arg.error());
    if (const Status added = add_to(args, std::move(*arg)); !added) return std::unexpected(added.error());
  }
  return args;
}

Result<ArgMap> args_from_environment() {
  const std::scoped_lock lock(arg_tables_mutex());
  ArgMap args;
  for (const common_arg& option : arg_tables().ctx_params.options) {
    std::string value;
    if (option.is_preset_only || !option.get_value_from_env(value)) continue;
    Result<CanonicalArg> arg = canonical_locked(option, option.env, value);
    if (!arg) {
      Error error = arg.error();
      error.message = fmt::format("environment variable {}: {}", option.env, error.message);
      return std::unexpected(std::move(error));
    }
    args.emplace(std::move(arg->name), std::move(arg->value));
  }
  return args;
}

Result<std::map<std::string, ArgMap>> scan_models_dir(const std::string& dir) {
  const std::scoped_lock lock(arg_tables_mutex());
  try {
    std::error_code error;
    const std::string absolute = std::filesystem::absolute(dir, error).lexically_normal();
    if (error || !std::filesystem::is_directory(absolute, error)) {
      return fail(ErrorCode::kNotFound,
                  fmt::format("models folder '{}' does not exist or is no folder", dir));
    }
    std::map<std::string, ArgMap> models;
    for (const auto& [id, preset] : arg_tables().load_from_models_dir(absolute)) {
      for (const auto& [option, value] : preset.options) models[id][canonical_name(option)] = value;
    }
    return models;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, fmt::format("models folder '{}' cannot be read", dir), e.what());
  }
}

ArgScope scope_of(std::string_view canonical_name) { return rule_of(canonical_name).scope; }

std::vector<std::string> to_command_line(const ArgMap& args) {
  const std::scoped_lock lock(arg_tables_mutex());
  std::vector<std::string> words;
  for (const auto& [name, value] : args) {
    const common_arg* option = find_option(name);
    if (option == nullptr || option->is_preset_only) continue;
    if (!is_flag(*option)) {
      words.push_back("--" + name);
      words.push_back(value);
    } else if (utils::is_truthy(value)) {
      words.push_back("--" + name);
    } else if (!option->args_neg.empty()) {
      words.emplace_back(option->args_neg.back());
    }
  }
  return words;
}

std::vector<std::string> option_names() {
  const std::scoped_lock lock(arg_tables_mutex());
  std::vector<std::string> names;
  for (const common_arg& option : arg_tables().ctx_params.options) {
    if (option.is_preset_only || rule_of(canonical_name(option)).scope == ArgScope::kRefused) continue;
    const std::vector<std::string> spellings = option.get_args();
    names.insert(names.end(), spellings.begin(), spellings.end());
  }
  return names;
}

std::string option_help() {
  const std::scoped_lock lock(arg_tables_mutex());
  std::string text;
  for (const common_arg& option : arg_tables().ctx_params.options) {
    if (option.is_preset_only || rule_of(canonical_name(option)).scope == ArgScope::kRefused) continue;
    text += option.to_string();
  }
  return text;
}

Status apply_process_args(const ArgMap& args) {
  const std::scoped_lock lock(arg_tables_mutex());
  common_params params;
  for (const char* name : {"numa", "rpc"}) {
    const auto found = args.find(name);
    const common_arg* option = found == args.end() ? nullptr : find_option(name);
    if (option == nullptr) continue;
    try {
      option->handler_string(params, found->second);
    } catch (const std::exception& e) {
      return bad_value(name, found->second, e.what());
    }
  }
  if (params.numa != GGML_NUMA_STRATEGY_DISABLED) llama_numa_init(params.numa);
  return {};
}

}  // namespace switchyard::engine
