#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "models/manager_fixture.h"

// More models than there is room for, and none of them ever idle: they take turns.

namespace switchyard::models::testing {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLoad = 300ms, kReply = 200ms, kStep = 20ms;

class RotationTest : public ManagerTest {
 protected:
  /// One client of a model: it asks again as soon as it has its reply.
  struct Client {
    std::string model;
    Answer* answer = nullptr;
    TimePoint asked = {};
    std::optional<TimePoint> reply_ends = {};
  };
  struct Seen {
    Duration longest{};
    int replies = 0;
  };

  std::map<std::string, Seen> run(int models, int clients_each, Duration time) {
    std::vector<ModelDefinition> definitions;
    for (int i = 0; i < models; ++i) definitions.push_back(model_called("m" + std::to_string(i)));
    world_.during_load([this](const std::string&, const std::stop_token&) { clock_.advance(kLoad); });
    start(definitions);
    std::vector<Client> clients;
    for (int i = 0; i < models * clients_each; ++i)
      clients.push_back({.model = "m" + std::to_string(i % models)});
    std::map<std::string, Seen> seen;
    for (const TimePoint end = clock_.now() + time; clock_.now() < end; pass(kStep)) {
      for (Client& client : clients) serve(client, seen[client.model]);
    }
    return seen;
  }

  int loads(int models) const {
    int sum = 0;
    for (int i = 0; i < models; ++i) sum += world_.loads("m" + std::to_string(i));
    return sum;
  }

 private:
  void serve(Client& client, Seen& seen) {
    const TimePoint now = clock_.now();
    if (client.reply_ends && *client.reply_ends <= now) {
      client.answer->lease.release();
      client.answer = nullptr;
      client.reply_ends.reset();
      ++seen.replies;
    }
    if (client.answer == nullptr) {
      client.answer = &ask(client.model);
      client.asked = now;
    }
    if (client.reply_ends) return;
    seen.longest = std::max(seen.longest, now - client.asked);
    if (client.answer->times > 0) client.reply_ends = now + kReply;
  }
};

/// What a tenant can count on, see docs/configuration.md: once around, after `max_wait`.
Duration bound(int models, Duration max_wait) {
  const Duration turn = std::min<Duration>(4 * kLoad, max_wait) + kReply + kLoad;
  return max_wait + models * (turn + 3 * kStep);
}

TEST_F(RotationTest, NobodyWaitsForLongerThanOnceAround) {
  constexpr int kModels = 6;
  limits_.max_wait = 2s;
  const auto seen = run(kModels, 2, 40s);
  for (const auto& [model, of] : seen) {
    EXPECT_LE(of.longest, bound(kModels, 2s)) << model;
    EXPECT_GT(of.replies, 0) << model;
  }
}

TEST_F(RotationTest, LoadsTakeAtMostAFifthOfTheTime) {
  constexpr int kModels = 6;
  limits_.max_wait = 2s;
  (void)run(kModels, 2, 40s);
  EXPECT_LE(loads(kModels) * kLoad, 40s / 5);
  EXPECT_GE(loads(kModels), 2 * kModels);  // and turns are taken
}

TEST_F(RotationTest, TwoModelsChangeOnceInMaxWait) {
  limits_.max_wait = 2s;
  const auto seen = run(2, 2, 30s);
  EXPECT_LE(loads(2), 30 / 2 + 2);
  EXPECT_NEAR(seen.at("m0").replies, seen.at("m1").replies, 0.2 * seen.at("m0").replies);
}

}  // namespace
}  // namespace switchyard::models::testing
