#include "store/experiment_store.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace switchyard::store {
namespace {

ExperimentRow row_of(const std::string& id) {
  return {.id = id,
          .alias = "chat",
          .arms = "a@1 50\na@2 50",
          .metric = "latency",
          .better = "lower",
          .minimum_sample = 100,
          .alpha = 0.05,
          .automatic = true,
          .segment_by = "none",
          .state = "running",
          .decision = "inconclusive",
          .started = 5};
}

ObservationRow observation_of(std::int64_t experiment, const std::string& request) {
  return {.experiment = experiment, .arm = 1, .segment = "s", .request_id = request, .at = 7, .latency = 1.5};
}

TEST(ExperimentStore, EverythingIsThereAgain) {
  const auto folder = std::filesystem::temp_directory_path() / "switchyard-experiment-store";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = folder / "state.sqlite";
  std::int64_t serial = 0;
  {
    StateDatabase state(path);
    ExperimentStore store(state, 100, 10);
    serial = *store.add(row_of("x"));
    ExperimentRow changed = row_of("x");
    changed.serial = serial;
    changed.state = "decided";
    changed.decision = "promote";
    changed.winner = 1;
    changed.ended = 9;
    ASSERT_TRUE(store.write({.observations = {observation_of(serial, "r1")},
                             .waiting = {{.request_id = "r2", .at = 8, .score = 0.5}},
                             .arms = {{serial, "", 1, 3, 4}},
                             .moments = {{serial, "", 1, "latency", 2, 0.1, 1e-300}},
                             .subjects = {{serial, -7}},
                             .trail = {{serial, 1, 10, 0.1, std::nullopt, 0.3}},
                             .changed = {changed},
                             .counters = {{"lost", 3}}}));
  }
  StateDatabase state(path);
  ExperimentStore store(state, 100, 10);
  const auto loaded = store.load();
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->experiments.size(), 1U);
  EXPECT_EQ(loaded->experiments[0].alpha, 0.05);
  EXPECT_EQ(loaded->experiments[0].decision, "promote");
  EXPECT_TRUE(loaded->experiments[0].automatic);
  EXPECT_EQ(loaded->experiments[0].ended, 9);
  EXPECT_EQ(loaded->arms[0].requests, 4);
  EXPECT_EQ(loaded->moments[0].squares, 1e-300);
  EXPECT_EQ(loaded->subjects[0].subject, -7);
  EXPECT_FALSE(loaded->trail[0].lower);
  EXPECT_EQ(loaded->trail[0].upper, 0.3);
  EXPECT_EQ(loaded->waiting, std::vector<std::string>{"r2"});
  EXPECT_EQ(loaded->counters.at("lost"), 3);
  EXPECT_EQ((*store.find("r1"))->latency, 1.5);
  EXPECT_EQ((*store.waiting("r2"))->score, 0.5);
  EXPECT_FALSE(*store.find("r2"));
  std::filesystem::remove_all(folder);
}

TEST(ExperimentStore, FeedbackJoinsTheNewestOfItsRequest) {
  StateDatabase state;
  ExperimentStore store(state, 100, 10);
  ASSERT_TRUE(store.write({.observations = {observation_of(1, "r"), observation_of(2, "r")},
                           .joined = {{.request_id = "r", .score = 0.25}}}));
  ASSERT_TRUE(store.write({.joined = {{.request_id = "r", .converted = 1}}}));
  const auto found = *store.find("r");
  EXPECT_EQ(found->experiment, 2);
  EXPECT_EQ(found->score, 0.25);
  EXPECT_EQ(found->converted, 1);
  EXPECT_FALSE(store.observations(1, 5)->at(0).score);
}

TEST(ExperimentStore, TheOldestLeave) {
  StateDatabase state;
  ExperimentStore store(state, 3, 2);
  ExperimentBatch batch;
  for (int i = 0; i < 10; ++i) {
    const std::string id = std::to_string(i);
    batch.observations.push_back(observation_of(1, id));
    batch.waiting.push_back({.request_id = "w" + id, .at = i});
  }
  ASSERT_TRUE(store.write(batch));
  const auto left = store.observations(1, 100);
  ASSERT_EQ(left->size(), 3U);
  EXPECT_EQ(left->front().request_id, "9");
  EXPECT_EQ(store.load()->waiting, (std::vector<std::string>{"w8", "w9"}));
}

TEST(ExperimentStore, WhatIsRemovedIsGoneAndItsNumberNotUsedAgain) {
  StateDatabase state;
  ExperimentStore store(state, 100, 10);
  const std::int64_t first = *store.add(row_of("x"));
  EXPECT_FALSE(store.add(row_of("x"))) << "the id is taken";
  ASSERT_TRUE(store.write({.observations = {observation_of(first, "r")}, .arms = {{first, "", 0, 1, 1}}}));
  ASSERT_TRUE(store.remove(first));
  const auto loaded = store.load();
  EXPECT_TRUE(loaded->experiments.empty() && loaded->arms.empty());
  EXPECT_FALSE(*store.find("r"));
  EXPECT_GT(*store.add(row_of("x")), first);
}

}  // namespace
}  // namespace switchyard::store
