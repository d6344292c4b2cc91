#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "http/front/test_client.h"

// The loop's pulse: answered while it goes round, and not while something holds it up.

namespace switchyard::http {
namespace {

TEST(Pulse, IsAnsweredByTheLoopAndNotWhileItHangs) {
  std::latch stuck(1), go_on(1);
  ServerOptions options;
  options.port = 0;
  auto server = Server::start(options, [&](const ExchangePtr& exchange) {
    stuck.count_down();
    go_on.wait();  // what no handler may do
    exchange->respond({.body = "at last"});
  });
  ASSERT_TRUE(server) << server.error().to_string();
  std::latch first(1);
  (*server)->pulse([&] { first.count_down(); });
  first.wait();
  std::thread client(
      [port = (*server)->port()] { EXPECT_EQ(testing::Client(port).get("/").body, "at last"); });
  stuck.wait();
  std::latch second(1);
  (*server)->pulse([&] { second.count_down(); });
  EXPECT_FALSE(second.try_wait());
  go_on.count_down();
  second.wait();
  client.join();
}

}  // namespace
}  // namespace switchyard::http
