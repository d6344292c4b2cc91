#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switchyard/result.h"

// What a tenant's key is and what it lets its holder do. Values and pure functions.

namespace switchyard::tenants {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

enum class Scope : std::uint8_t {
  kInference,  ///< ask models
  kRead,       ///< look at the whole server, change nothing
  kAdmin,      ///< everything
};

/// A set of scopes. kAdmin has the others in it.
class Scopes {
 public:
  Scopes() = default;
  Scopes(std::initializer_list<Scope> scopes) {
    for (const Scope scope : scopes) add(scope);
  }
  [[nodiscard]] bool has(Scope scope) const { return holds(scope) || holds(Scope::kAdmin); }
  [[nodiscard]] bool empty() const { return bits_ == 0; }
  /// As they were given: "inference", "read", "admin".
  [[nodiscard]] std::vector<std::string> names() const;
  /// Errors: kInvalidArgument for a name that is none, and for no name at all.
  [[nodiscard]] static Result<Scopes> parse(const std::vector<std::string>& names);
  bool operator==(const Scopes&) const = default;

 private:
  void add(Scope scope) { bits_ = static_cast<std::uint8_t>(bits_ | (1U << static_cast<unsigned>(scope))); }
  [[nodiscard]] bool holds(Scope scope) const { return (bits_ >> static_cast<unsigned>(scope) & 1U) != 0; }
  std::uint8_t bits_ = 0;
};

/// Empty: no limit.
struct Limits {
  std::optional<std::uint64_t> rpm = {};       ///< requests within a minute
  std::optional<std::uint64_t> tpm = {};       ///< tokens within a minute, prompts and replies
  std::optional<std::uint64_t> parallel = {};  ///< requests at once
  [[nodiscard]] bool any() const { return rpm || tpm || parallel; }
  bool operator==(const Limits&) const = default;
};

/// What an administrator says of a key. The names are LiteLLM's.
struct KeySettings {
  std::string key_alias = {};  ///< for people; of no two keys at a time, but may be empty
  Scopes scopes = {Scope::kInference};
  std::vector<std::string> models = {};  ///< names that it may ask for; empty: any. "m" has every "m@version"
  std::map<std::string, std::string> aliases = {};  ///< names of its own, and what they mean
  Limits limits = {};
  double weight = 1;  ///< its share of a busy model's tokens, against other keys'
  bool blocked = false;
  std::optional<WallTime> expires = {};
  std::string metadata = "{}";  ///< a JSON object, kept as it is
  bool operator==(const KeySettings&) const = default;
};

struct Key {
  std::string id;    ///< stays when the secret is rotated
  std::string hash;  ///< of its secret; empty: revoked
  KeySettings settings;
  WallTime created;
  std::optional<WallTime> revoked = {};
  [[nodiscard]] bool is_revoked() const { return revoked.has_value(); }
};
using KeyPtr = std::shared_ptr<const Key>;

/// What people call it: its alias, or its id where it has none.
[[nodiscard]] const std::string& name_of(const Key& key);

/// kInvalidArgument for settings that cannot be kept: names that are empty, too long or have control
/// characters, limits of 0, weights out of range.
[[nodiscard]] Status check(const KeySettings& settings);

/// True when the key may ask for `name`, which is a server's name and none of its own.
[[nodiscard]] bool may_ask_for(const KeySettings& settings, std::string_view name);
/// Whether the server has an alias of that name, which is not a model's.
using IsAlias = std::function<bool(std::string_view)>;
/// What the key means by `name`: what its own alias says, else the name itself. A key that may ask for an
/// alias may not ask for what else that has meant ("chat@previous"), and names of its own have no labels.
/// Errors: kPermissionDenied when it may not ask for that.
[[nodiscard]] Result<std::string> name_for(const KeySettings& settings, const std::string& name,
                                           const IsAlias& is_alias);
/// The same for whoever asks: null may ask for everything.
[[nodiscard]] Result<std::string> name_for(const KeyPtr& key, const std::string& name,
                                           const IsAlias& is_alias);

}  // namespace switchyard::tenants
