#include "health/quarantines.h"

#include <gmock/gmock.h>

#include <optional>

#include "models/manager_fixture.h"

namespace switchyard::health {
namespace {

using models::testing::model_called;
using models::testing::ref;
using store::QuarantineRow;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kReason = "it failed 5 times";

class QuarantinesTest : public models::testing::ManagerTest {
 public:
  ~QuarantinesTest() override {
    quarantines_.reset();
    executor_.run_inline();
    monitor_.reset();
  }

 protected:
  static models::ModelDefinition model(const std::string& stamp, std::uint32_t after = 5) {
    models::ModelDefinition model = model_called("a");
    model.versions.front().file_stamp = stamp;
    model.settings.health.quarantine_after = after;
    return model;
  }
  /// A server that begins with this catalog.
  void begin(const models::ModelDefinition& definition) {
    start({definition, model_called("b")});
    monitor_.emplace(Monitor::Dependencies{.manager = *manager_,
                                           .executor = executor_,
                                           .events = events_,
                                           .random = [] { return 0.0; },
                                           .clock = clock_});
    quarantines_.emplace(Quarantines::Dependencies{*manager_, *monitor_, executor_, events_, state_});
    executor_.run_all();
  }
  void begin_anew(const models::ModelDefinition& definition) {
    quarantines_.reset();
    monitor_.reset();
    manager_.reset();
    begin(definition);
  }
  void quarantine() {
    monitor_->quarantine(ref("a"), kReason);
    executor_.run_all();
  }
  bool is_quarantined() { return manager_->standing(ref("a"))->quarantined; }
  std::vector<QuarantineRow> noted() { return store::QuarantineStore(state_).quarantines().value(); }

  store::StateDatabase state_;
  std::optional<Monitor> monitor_;
  std::optional<Quarantines> quarantines_;
};

TEST_F(QuarantinesTest, OneHoldsAfterARestart) {
  begin(model("10:1"));
  EXPECT_THAT(noted(), IsEmpty());
  quarantine();
  begin_anew(model("10:1"));
  ASSERT_TRUE(is_quarantined());
  const VersionHealth health = monitor_->list().at(ref("a"));
  EXPECT_EQ(health.health, Health::kQuarantined);
  EXPECT_EQ(health.reason, kReason);
  const auto lease = manager_->acquire_blocking(ref("a"));
  ASSERT_FALSE(lease);
  EXPECT_THAT(lease.error().message, HasSubstr("switchyard release a@1"));
  EXPECT_THAT(noted(), ElementsAre(Field(&QuarantineRow::reason, kReason))) << "for the start after this one";
}

TEST_F(QuarantinesTest, AnotherFileOrOtherSettingsStartAfresh) {
  begin(model("10:1"));
  quarantine();
  begin_anew(model("11:1"));
  EXPECT_FALSE(is_quarantined());
  EXPECT_THAT(noted(), IsEmpty());
  quarantine();
  models::ModelDefinition other = model("11:1");
  other.versions.front().args["ctx-size"] = "512";
  begin_anew(other);
  EXPECT_FALSE(is_quarantined());
}

TEST_F(QuarantinesTest, WhatWasReleasedStaysSo) {
  begin(model("10:1"));
  quarantine();
  ASSERT_TRUE(monitor_->release(ref("a")).has_value());
  executor_.run_all();
  EXPECT_THAT(noted(), IsEmpty());
  begin_anew(model("10:1"));
  EXPECT_FALSE(is_quarantined());
}

TEST_F(QuarantinesTest, NotWhereNothingIsQuarantinedAnyMore) {
  begin(model("10:1"));
  quarantine();
  begin_anew(model("10:1", 0));
  EXPECT_FALSE(is_quarantined());
}

}  // namespace
}  // namespace switchyard::health
