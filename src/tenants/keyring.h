#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "store/key_store.h"
#include "tenants/key.h"

namespace switchyard::tenants {

/// A key and its secret, which is told here and never again.
struct IssuedKey {
  KeyPtr key;
  std::string secret;
};

/// What changes of a key; what is empty stays.
struct KeyChange {
  std::optional<std::string> key_alias = {};
  std::optional<Scopes> scopes = {};
  std::optional<std::vector<std::string>> models = {};
  std::optional<std::map<std::string, std::string>> aliases = {};
  std::optional<std::optional<std::uint64_t>> rpm = {}, tpm = {}, parallel = {};
  std::optional<double> weight = {};
  std::optional<bool> blocked = {};
  std::optional<std::optional<WallTime>> expires = {};
  std::optional<std::string> metadata = {};
  void apply_to(KeySettings& settings) const;
};

enum class AdminKey : std::uint8_t { kNone, kBesideTheFirst };

/// All keys that tenants have: an immutable table in memory, read by every request, and the same on disk. A
/// change holds from the moment at which its call returns, for every request that comes after. Any thread.
/// authenticate() and the other looks never wait for the disk; changes write and block, one after the other.
class Keyring {
 public:
  using Now = std::function<WallTime()>;
  explicit Keyring(store::KeyStore store, Now now = &Keyring::system_time);

  /// Reads what there is. Before this the keyring is empty. Errors: the store's.
  [[nodiscard]] Status load() EXCLUDES(changing_);

  /// True until the first key is made: also when all have been revoked since, keys are asked for.
  [[nodiscard]] bool is_open() const { return !closed_ && table()->keys.empty(); }
  /// Keys are asked for from now on, whether there is one or not.
  void close() { closed_ = true; }
  /// Whose secret it is. Errors: kUnauthenticated (no such key, revoked, expired), kPermissionDenied
  /// (blocked).
  [[nodiscard]] Result<KeyPtr> authenticate(std::string_view secret) const;
  /// In the order in which they were made, without the revoked ones.
  [[nodiscard]] std::vector<KeyPtr> keys() const;
  /// By its id or its alias. Errors: kNotFound, also for one that was revoked.
  [[nodiscard]] Result<KeyPtr> find(std::string_view name) const;
  /// What people call this one, also when it was revoked; the id itself where it is none.
  [[nodiscard]] std::string name_of_id(const std::string& id) const;

  struct Created {
    IssuedKey key;
    std::optional<IssuedKey> admin = {};
  };
  /// With kBesideTheFirst, the first of all keys gets an administrator's key beside it unless it is one
  /// itself: nobody is locked out. Errors: kInvalidArgument (see check(), and an expiry in the past),
  /// kConflict (the alias is another key's), the store's. On an error nothing has changed.
  [[nodiscard]] Result<Created> create(KeySettings settings, AdminKey admin) EXCLUDES(changing_);
  /// Errors: also kNotFound.
  [[nodiscard]] Result<KeyPtr> update(std::string_view name, const KeyChange& change) EXCLUDES(changing_);
  /// A new secret; the old one is none any more. Errors: as update().
  [[nodiscard]] Result<IssuedKey> rotate(std::string_view name) EXCLUDES(changing_);
  /// For good. Its usage stays. Errors: as update().
  [[nodiscard]] Result<KeyPtr> revoke(std::string_view name) EXCLUDES(changing_);

  [[nodiscard]] static WallTime system_time();

 private:
  struct Table {
    std::vector<KeyPtr> keys;                         // in order, the revoked ones too
    std::map<std::string, KeyPtr, std::less<>> live;  // by hash
  };
  using TablePtr = std::shared_ptr<const Table>;

  [[nodiscard]] TablePtr table() const;
  /// Writes these and then lets them be seen.
  [[nodiscard]] Status keep(const std::vector<KeyPtr>& changed) REQUIRES(changing_);
  [[nodiscard]] Status check_change(const KeySettings& settings, std::string_view id) const;
  [[nodiscard]] IssuedKey issue(KeySettings settings) const;

  store::KeyStore store_;
  const Now now_;
  std::atomic<bool> closed_ = false;
  Mutex changing_;  ///< held through a write
  mutable Mutex mutex_;
  TablePtr table_ GUARDED_BY(mutex_) = std::make_shared<const Table>();
};

}  // namespace switchyard::tenants
