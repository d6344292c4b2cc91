#include "http/residency.h"

#include <utility>

#include "http/errors.h"

namespace switchyard::http {

void answer_change(const Services& services, ExchangePtr exchange, Wait wait,
                   const std::function<Status(models::Manager::Done)>& begin,
                   std::function<Response()> reply) {
  if (wait == Wait::kNo) {
    const auto begun = begin({});
    exchange->respond(begun ? reply() : error_reply(begun.error()));
    return;
  }
  const auto begun = begin([exchange, reply = std::move(reply), gate = services.gate](const Status& done) {
    gate->pass([&] { exchange->respond(done ? reply() : error_reply(done.error())); });
  });
  if (!begun) exchange->respond(error_reply(begun.error()));
}

}  // namespace switchyard::http
