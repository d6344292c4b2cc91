#include "shadowing/own_sink.h"

namespace switchyard::shadowing {

void OwnSink::respond(gateway::ReplyHead head, std::string body) {
  status_ = head.status;
  too_long_ = body.size() > most_;
  if (!too_long_) bytes_ = std::move(body);
  over_ = true;
}

void OwnSink::start(gateway::ReplyHead head) {
  status_ = head.status;
  streamed_ = true;
}

bool OwnSink::write(std::string bytes) {
  if (bytes_.size() + bytes.size() > most_) {
    too_long_ = true;
  } else {
    bytes_ += bytes;
  }
  return true;
}

gateway::Ending OwnSink::ending() const {
  return text().whole ? gateway::Ending::kWhole : gateway::Ending::kCut;
}

bool OwnSink::client_gone() const {
  if (!over_ && !gave_up_ && (too_long_ || give_up_())) gave_up_ = true;
  return gave_up_;
}

ReplyText OwnSink::text() const {
  if (!form_) return {};
  return streamed_ ? read_stream(*form_, bytes_) : read_body(*form_, bytes_);
}

}  // namespace switchyard::shadowing
