#include "store/experiment_store.h"

#include <utility>

#include "store/rows.h"

namespace switchyard::store {
namespace {

constexpr const char* kObservationColumns =
    "experiment, arm, segment, request_id, at, latency, first_token, tokens_per_second, failed, score, "
    "converted";

ExperimentRow experiment_of(const Statement& row) {
  return {.serial = row.integer(0),
          .id = row.text(1),
          .alias = row.text(2),
          .arms = row.text(3),
          .hypothesis = row.text(4),
          .metric = row.text(5),
          .better = row.text(6),
          .guardrails = row.text(7),
          .minimum_sample = row.integer(8),
          .alpha = row.real(9).value_or(0),
          .automatic = row.integer(10) != 0,
          .segment_by = row.text(11),
          .state = row.text(12),
          .decision = row.text(13),
          .winner = row.integer(14),
          .acted = row.integer(15) != 0,
          .started = row.integer(16),
          .ended = row.integer(17)};
}

ObservationRow observation_of(const Statement& row) {
  return {.experiment = row.integer(0),
          .arm = row.integer(1),
          .segment = row.text(2),
          .request_id = row.text(3),
          .at = row.integer(4),
          .latency = row.real(5),
          .first_token = row.real(6),
          .tokens_per_second = row.real(7),
          .failed = row.real(8),
          .score = row.real(9),
          .converted = row.real(10)};
}

Status insert(Database& database, const ObservationRow& row) {
  return database
      .prepare(std::string("INSERT INTO observations(") + kObservationColumns +
               ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(row.experiment)
      .bind(row.arm)
      .bind(row.segment)
      .bind(row.request_id)
      .bind(row.at)
      .bind_real(row.latency)
      .bind_real(row.first_token)
      .bind_real(row.tokens_per_second)
      .bind_real(row.failed)
      .bind_real(row.score)
      .bind_real(row.converted)
      .run();
}

Status join(Database& database, const FeedbackRow& row) {
  return database
      .prepare(
          "UPDATE observations SET score = coalesce(?, score), converted = coalesce(?, converted) WHERE "
          "id = (SELECT max(id) FROM observations WHERE request_id = ?)")
      .bind_real(row.score)
      .bind_real(row.converted)
      .bind(row.request_id)
      .run();
}

Status keep_waiting(Database& database, const FeedbackRow& row) {
  return database
      .prepare(
          "INSERT INTO feedback VALUES(?1, ?2, ?3, ?4) ON CONFLICT(request_id) DO UPDATE SET "
          "score = coalesce(score, ?3), converted = coalesce(converted, ?4)")
      .bind(row.request_id)
      .bind(row.at)
      .bind_real(row.score)
      .bind_real(row.converted)
      .run();
}

Status put(Database& database, const ArmRow& row) {
  return database.prepare("INSERT OR REPLACE INTO experiment_arms VALUES(?, ?, ?, ?, ?)")
      .bind(row.experiment)
      .bind(row.segment)
      .bind(row.arm)
      .bind(row.assigned)
      .bind(row.requests)
      .run();
}

Status put(Database& database, const MomentsRow& row) {
  return database.prepare("INSERT OR REPLACE INTO experiment_moments VALUES(?, ?, ?, ?, ?, ?, ?)")
      .bind(row.experiment)
      .bind(row.segment)
      .bind(row.arm)
      .bind(row.metric)
      .bind(row.count)
      .bind_real(row.mean)
      .bind_real(row.squares)
      .run();
}

Status put(Database& database, const SubjectRow& row) {
  return database.prepare("INSERT OR IGNORE INTO experiment_subjects VALUES(?, ?)")
      .bind(row.experiment)
      .bind(row.subject)
      .run();
}

Status put(Database& database, const TrailRow& row) {
  return database.prepare("INSERT OR REPLACE INTO experiment_trail VALUES(?, ?, ?, ?, ?, ?)")
      .bind(row.experiment)
      .bind(row.arm)
      .bind(row.observations)
      .bind_real(row.estimate)
      .bind_real(row.lower)
      .bind_real(row.upper)
      .run();
}

Status put(Database& database, const ExperimentRow& row) {
  return database
      .prepare(
          "UPDATE experiments SET state = ?, decision = ?, winner = ?, acted = ?, ended = ? WHERE serial = ?")
      .bind(row.state)
      .bind(row.decision)
      .bind(row.winner)
      .bind(std::int64_t{row.acted})
      .bind(row.ended)
      .bind(row.serial)
      .run();
}

template <typename Rows, typename Write>
Status all(const Rows& rows, Write write) {
  for (const auto& row : rows) {
    if (Status done = write(row); !done) return done;
  }
  return {};
}

}  // namespace

Result<ExperimentState> ExperimentStore::load() {
  return state_.with([](Database& database) -> Result<ExperimentState> {
    ExperimentState state;
    Status done;
    const auto read = [&](const char* sql, auto each_row) {
      if (!done) return;
      Statement query = database.prepare(sql);
      done = for_each_row(query, each_row);
    };
    read(
        "SELECT serial, id, alias, arms, hypothesis, metric, better, guardrails, minimum_sample, alpha, "
        "automatic, segment_by, state, decision, winner, acted, started, ended FROM experiments ORDER BY "
        "serial",
        [&](const Statement& row) { state.experiments.push_back(experiment_of(row)); });
    read(
        "SELECT experiment, segment, arm, assigned, requests FROM experiment_arms",
        [&](const Statement& row) {
          state.arms.push_back({row.integer(0), row.text(1), row.integer(2), row.integer(3), row.integer(4)});
        });
    read("SELECT experiment, segment, arm, metric, count, mean, squares FROM experiment_moments",
         [&](const Statement& row) {
           state.moments.push_back({row.integer(0), row.text(1), row.integer(2), row.text(3), row.integer(4),
                                    row.real(5).value_or(0), row.real(6).value_or(0)});
         });
    read("SELECT experiment, subject FROM experiment_subjects",
         [&](const Statement& row) { state.subjects.push_back({row.integer(0), row.integer(1)}); });
    read(
        "SELECT experiment, arm, observations, estimate, lower, upper FROM experiment_trail ORDER BY "
        "observations",
        [&](const Statement& row) {
          state.trail.push_back({row.integer(0), row.integer(1), row.integer(2), row.real(3).value_or(0),
                                 row.real(4), row.real(5)});
        });
    read("SELECT request_id FROM feedback",
         [&](const Statement& row) { state.waiting.push_back(row.text(0)); });
    read("SELECT name, value FROM experiment_counters",
         [&](const Statement& row) { state.counters[row.text(0)] = row.integer(1); });
    if (!done) return std::unexpected(done.error());
    return state;
  });
}

Result<std::int64_t> ExperimentStore::add(const ExperimentRow& row) {
  Result<std::int64_t> serial = 0;
  const Status done = state_.change([&](Database& database) -> Status {
    Statement insert = database.prepare(
        "INSERT INTO experiments(id, alias, arms, hypothesis, metric, better, guardrails, minimum_sample, "
        "alpha, "
        "automatic, segment_by, state, decision, winner, acted, started, ended) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING serial");
    for (const std::string* text :
         {&row.id, &row.alias, &row.arms, &row.hypothesis, &row.metric, &row.better, &row.guardrails}) {
      insert.bind(*text);
    }
    insert.bind(row.minimum_sample).bind_real(row.alpha).bind(std::int64_t{row.automatic});
    insert.bind(row.segment_by).bind(row.state).bind(row.decision);
    insert.bind(row.winner).bind(std::int64_t{row.acted}).bind(row.started).bind(row.ended);
    serial = inserted(insert);
    if (!serial) return std::unexpected(serial.error());
    return {};
  });
  if (!done) return std::unexpected(done.error());
  return serial;
}

Status ExperimentStore::remove(std::int64_t serial) {
  return state_.change([&](Database& database) {
    Status done = database.prepare("DELETE FROM experiments WHERE serial = ?").bind(serial).run();
    for (const char* table : {"experiment_arms", "experiment_moments", "experiment_subjects",
                              "experiment_trail", "observations"}) {
      if (!done) break;
      done =
          database.prepare(std::string("DELETE FROM ") + table + " WHERE experiment = ?").bind(serial).run();
    }
    return done;
  });
}

Status ExperimentStore::write(const ExperimentBatch& batch) {
  return state_.change([&](Database& database) {
    const auto put_row = [&](const auto& row) { return put(database, row); };
    Status done = all(batch.observations, [&](const auto& row) { return insert(database, row); });
    if (done) done = all(batch.joined, [&](const auto& row) { return join(database, row); });
    if (done) done = all(batch.waiting, [&](const auto& row) { return keep_waiting(database, row); });
    if (done) {
      done = all(batch.no_longer_waiting, [&](const std::string& id) {
        return database.prepare("DELETE FROM feedback WHERE request_id = ?").bind(id).run();
      });
    }
    if (done) done = all(batch.arms, put_row);
    if (done) done = all(batch.moments, put_row);
    if (done) done = all(batch.subjects, put_row);
    if (done) done = all(batch.trail, put_row);
    if (done) done = all(batch.changed, put_row);
    if (done) {
      done = all(batch.counters, [&](const auto& counter) {
        return database.prepare("INSERT OR REPLACE INTO experiment_counters VALUES(?, ?)")
            .bind(counter.first)
            .bind(counter.second)
            .run();
      });
    }
    if (done) {
      done = database.prepare("DELETE FROM observations WHERE id <= (SELECT max(id) FROM observations) - ?")
                 .bind(most_observations_)
                 .run();
    }
    if (done) {
      done = database
                 .prepare(
                     "DELETE FROM feedback WHERE request_id IN (SELECT request_id FROM feedback ORDER BY at "
                     "DESC LIMIT -1 OFFSET ?)")
                 .bind(most_waiting_)
                 .run();
    }
    return done;
  });
}

Result<std::optional<ObservationRow>> ExperimentStore::find(const std::string& request_id) {
  return state_.with([&](Database& database) -> Result<std::optional<ObservationRow>> {
    Statement query = database.prepare(std::string("SELECT ") + kObservationColumns +
                                       " FROM observations WHERE request_id = ? ORDER BY id DESC LIMIT 1");
    query.bind(request_id);
    std::optional<ObservationRow> found;
    if (Status done = for_each_row(query, [&](const Statement& row) { found = observation_of(row); }); !done)
      return std::unexpected(done.error());
    return found;
  });
}

Result<std::optional<FeedbackRow>> ExperimentStore::waiting(const std::string& request_id) {
  return state_.with([&](Database& database) -> Result<std::optional<FeedbackRow>> {
    Statement query =
        database.prepare("SELECT request_id, at, score, converted FROM feedback WHERE request_id = ?");
    query.bind(request_id);
    std::optional<FeedbackRow> found;
    const Status done = for_each_row(query, [&](const Statement& row) {
      found = {
          .request_id = row.text(0), .at = row.integer(1), .score = row.real(2), .converted = row.real(3)};
    });
    if (!done) return std::unexpected(done.error());
    return found;
  });
}

Result<std::vector<std::string>> ExperimentStore::waiting_ids() {
  return state_.with([](Database& database) -> Result<std::vector<std::string>> {
    Statement query = database.prepare("SELECT request_id FROM feedback");
    std::vector<std::string> ids;
    const Status done = for_each_row(query, [&](const Statement& row) { ids.push_back(row.text(0)); });
    if (!done) return std::unexpected(done.error());
    return ids;
  });
}

Result<std::vector<ObservationRow>> ExperimentStore::observations(std::int64_t experiment,
                                                                  std::int64_t most) {
  return state_.with([&](Database& database) -> Result<std::vector<ObservationRow>> {
    Statement query = database.prepare(std::string("SELECT ") + kObservationColumns +
                                       " FROM observations WHERE experiment = ? ORDER BY id DESC LIMIT ?");
    query.bind(experiment).bind(most);
    std::vector<ObservationRow> rows;
    const Status done =
        for_each_row(query, [&](const Statement& row) { rows.push_back(observation_of(row)); });
    if (!done) return std::unexpected(done.error());
    return rows;
  });
}

}  // namespace switchyard::store
