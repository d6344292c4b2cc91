#include "shadowing/capture.h"

namespace switchyard::shadowing {

void Capture::keep(std::string_view bytes) {
  if (captured_.too_long) return;
  if (captured_.bytes.size() + bytes.size() > most_ || !captured_.held.grow(bytes.size())) {
    captured_.too_long = true;
    captured_.bytes = {};
    captured_.held.release();
    return;
  }
  captured_.bytes += bytes;
}

void Capture::respond(gateway::ReplyHead head, std::string body) {
  // The sink takes the body along: what is kept of it is copied before, which takes some microseconds.
  keep(body);
  captured_.whole = true;
  inner_->respond(std::move(head), std::move(body));
}

void Capture::start(gateway::ReplyHead head) {
  captured_.streamed = true;
  inner_->start(std::move(head));
}

bool Capture::write(std::string bytes) {
  keep(bytes);
  return inner_->write(std::move(bytes));
}

void Capture::finish() {
  captured_.whole = true;
  inner_->finish();
}

}  // namespace switchyard::shadowing
