#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/state_database.h"

namespace switchyard::store {

/// A version that an alias meant before, and the switch that left it.
struct PreviousRow {
  std::string version;
  std::int64_t switch_id = 0;
  bool operator==(const PreviousRow&) const = default;
};

/// Where a name points, and what it takes to move it on. Versions are written model@version.
struct AliasRow {
  std::string name;
  std::string kind;        ///< "alias" or "model"
  std::string target;      ///< empty: it was removed, and `defined` still stands in the config file
  std::string defined;     ///< as the config file had it when it counted; empty: made by a call
  std::string considered;  ///< of a model's name: the newest version for which it was decided
  std::vector<PreviousRow> previous = {};   ///< where a rollback goes, last first to go to
  std::vector<std::string> fallbacks = {};  ///< names that stand in for it
  std::string split = {};                   ///< as traffic/ writes it; empty: it has none
};

/// One line of history.
struct SwitchRow {
  std::int64_t id = 0;
  std::string alias, kind, who, why, source, target, policy, keep_old, outcome, phase;
  std::int64_t error_code = 0;
  std::string error, error_cause;
  std::int64_t started = 0;  ///< milliseconds since 1970
  std::int64_t ended = 0;
  std::string phases;      ///< "admit=1.5 load=300.2", in milliseconds
  std::string split = {};  ///< "a@1=90 b@1=10"; empty: not of a split
};

/// Aliases, their history, and which versions have answered. Any thread; each method is one transaction,
/// on disk when it returns. Errors of all: what Database says.
class AliasStore {
 public:
  explicit AliasStore(StateDatabase& state) : state_(state) {}

  [[nodiscard]] Result<std::vector<AliasRow>> aliases();
  [[nodiscard]] Status put(const AliasRow& row);
  [[nodiscard]] Status remove(const std::string& name);

  /// Begins a line of history; the oldest beyond 1000 of an alias go. Gives its id.
  [[nodiscard]] Result<std::int64_t> begin(const SwitchRow& row);
  [[nodiscard]] Status update(const SwitchRow& row);
  /// The alias and its line of history together; `undone` > 0 marks that line as rolled back.
  [[nodiscard]] Status move(const AliasRow& alias, const SwitchRow& row, std::int64_t undone);
  /// Newest first.
  [[nodiscard]] Result<std::vector<SwitchRow>> history(const std::string& alias, std::size_t limit);
  /// Lines that are still "running" are those of a server that was killed: ends them as failed.
  [[nodiscard]] Status end_interrupted(std::int64_t now);

  [[nodiscard]] Result<std::vector<std::string>> proven();
  [[nodiscard]] Status prove(const std::string& version);

 private:
  StateDatabase& state_;
};

}  // namespace switchyard::store
