#include "gateway/admission.h"

#include <gtest/gtest.h>

namespace switchyard::gateway {
namespace {

TEST(Admission, ARequestThatASlotTakesNeverWaits) {
  EXPECT_FALSE(why_not_queue("a@1", {.requests = 3, .slots = 4, .waiting = 9000}, {.max_queue = 1}));
}

TEST(Admission, TheQueueOfAModelAndThatOfAllAreBounded) {
  const RequestLimits limits{.max_queue_per_model = 8, .max_queue = 10};
  struct Case {
    Queue queue;
    bool admitted;
  };
  for (const auto& [queue, admitted] : {Case{{.requests = 4, .slots = 4, .waiting = 0}, true},
                                        Case{{.requests = 11, .slots = 4, .waiting = 7}, true},
                                        Case{{.requests = 12, .slots = 4, .waiting = 8}, false},
                                        Case{{.requests = 7, .slots = 0, .waiting = 7}, true},
                                        Case{{.requests = 8, .slots = 0, .waiting = 8}, false},
                                        Case{{.requests = 5, .slots = 4, .waiting = 9}, true},
                                        Case{{.requests = 5, .slots = 4, .waiting = 10}, false}}) {
    const auto error = why_not_queue("a@1", queue, limits);
    EXPECT_EQ(!error, admitted) << queue.requests << " " << queue.slots << " " << queue.waiting;
    if (error) {
      EXPECT_EQ(error->code, ErrorCode::kOverloaded);
    }
  }
}

TEST(Admission, ZeroIsNoBound) {
  EXPECT_FALSE(why_not_queue("a@1", {.requests = 90'000, .slots = 4, .waiting = 90'000},
                             {.max_queue_per_model = 0, .max_queue = 0}));
}

}  // namespace
}  // namespace switchyard::gateway
