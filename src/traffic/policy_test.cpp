#include "traffic/policy.h"

#include <gtest/gtest.h>

#include <string>

namespace switchyard::traffic {
namespace {

using models::Residency;
using models::State;

TEST(Policy, WhatBecomesOfTheOldVersion) {
  struct Row {
    const char* name;
    Situation situation;
    std::optional<Residency> expected;
  };
  const Row rows[] = {
      {"parked by default", {.old_state = State::kHot}, Residency::kParked},
      {"one that drains already", {.old_state = State::kDraining}, Residency::kParked},
      {"to be freed", {.keep_old = KeepOld::kCold, .old_state = State::kHot}, Residency::kCold},
      {"parked, to be freed", {.keep_old = KeepOld::kCold, .old_state = State::kParked}, Residency::kCold},
      {"to stay", {.keep_old = KeepOld::kHot, .old_state = State::kHot}, std::nullopt},
      {"not loaded", {.old_state = State::kCold}, std::nullopt},
      {"failed", {.keep_old = KeepOld::kCold, .old_state = State::kFailed}, std::nullopt},
      {"the same version", {.old_state = State::kHot, .same_version = true}, std::nullopt},
      {"pinned", {.old_state = State::kHot, .old_is_pinned = true}, std::nullopt},
      {"another alias needs it", {.old_state = State::kHot, .old_has_other_names = true}, std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(old_goes_to(row.situation), row.expected) << row.name;
}

TEST(Policy, WhoGoesFirst) {
  struct Row {
    const char* name;
    Situation situation;
    Opening expected;
  };
  constexpr auto kResource = Policy::kResourcePreserving;
  const Row rows[] = {
      {"availability", {.old_state = State::kHot}, Opening::kLoadBesides},
      {"resource", {.policy = kResource, .old_state = State::kHot}, Opening::kSendOldAway},
      {"the new one is there",
       {.policy = kResource, .old_state = State::kHot, .new_state = State::kHot},
       Opening::kLoadBesides},
      {"the old one is not", {.policy = kResource, .old_state = State::kCold}, Opening::kLoadBesides},
      {"the old one is parked", {.policy = kResource, .old_state = State::kParked}, Opening::kSendOldAway},
      {"the old one must stay",
       {.policy = kResource, .keep_old = KeepOld::kHot, .old_state = State::kHot},
       Opening::kLoadBesides},
      {"nothing to do",
       {.policy = kResource, .old_state = State::kHot, .same_version = true},
       Opening::kLoadBesides},
  };
  for (const Row& row : rows) EXPECT_EQ(opening(row.situation), row.expected) << row.name;
}

TEST(Policy, TheConfigFilesSay) {
  struct Row {
    const char* name;
    Redefined facts;
    Redefinition expected;
  };
  const Row rows[] = {
      {"new", {}, Redefinition::kPointThere},
      {"moved by a call", {.known = true, .target_is_there = true, .at_start = true}, Redefinition::kStay},
      {"changed while the server was off",
       {.known = true, .entry_changed = true, .target_is_there = true, .at_start = true},
       Redefinition::kPointThere},
      {"changed while it serves",
       {.known = true, .entry_changed = true, .target_is_there = true},
       Redefinition::kSwitch},
      {"what it meant is gone", {.known = true}, Redefinition::kPointThere},
      {"removed by a call", {.known = true, .removed = true}, Redefinition::kStayAway},
      {"removed, then changed",
       {.known = true, .removed = true, .entry_changed = true},
       Redefinition::kPointThere},
  };
  for (const Row& row : rows) EXPECT_EQ(redefinition(row.facts), row.expected) << row.name;
}

template <typename Enum>
void words_lead_back(int count) {
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<Enum>(i);
    EXPECT_EQ(parse<Enum>(to_string(value)), value);
  }
  EXPECT_EQ(parse<Enum>("?"), std::nullopt);
}

TEST(Words, LeadBackToTheirValues) {
  words_lead_back<Policy>(2);
  words_lead_back<KeepOld>(3);
  words_lead_back<Phase>(7);
  words_lead_back<Outcome>(6);
  words_lead_back<Kind>(6);
}

}  // namespace
}  // namespace switchyard::traffic
