#include "engine/worker/serve.h"

#include <array>
#include <chrono>
#include <utility>

#include "base/free_memory.h"
#include "engine/worker/kept_states.h"
#include "telemetry/log.h"

namespace switchyard::engine::worker {
namespace {

/// What is said to somebody who is gone is lost, and nothing is to be done about it.
void ignore(const Status& /*sent*/) {}

template <typename Map>
typename Map::mapped_type take(Map& map, std::uint64_t id) {
  auto node = map.extract(id);
  return node.empty() ? nullptr : std::move(node.mapped());
}

}  // namespace

void Service::run(Channel& control) {
  while (auto socket = control.receive_socket()) {
    if (!socket->open()) {
      telemetry::log_error("worker", "a call is lost: raise the limit of open files");
      continue;
    }
    calls_.post(
        [this, channel = std::make_shared<Channel>(std::move(*socket))] { serve(std::move(*channel)); });
  }
}

void Service::serve(Channel channel) {
  auto message = channel.receive();
  if (!message) return;
  switch (message->kind) {
    case Kind::kLoad: return load(std::move(channel), *message);
    case Kind::kHandle:
    case Kind::kHandleStream: return handle(channel, std::move(*message));
    case Kind::kSample: return sample(channel, *message);
    case Kind::kProbe: return probe(channel, *message);
    case Kind::kReleasePages: return release_pages(channel, *message);
    case Kind::kEndEngine: return end_engine(channel, *message);
    case Kind::kEndWeights: return end_weights(channel, *message);
    default: return ignore(send(channel, Error{ErrorCode::kInternal, "this is no call of a worker"}));
  }
}

void Service::load(Channel channel, const Message& message) {
  const auto order = read_load(message);
  if (!order) return ignore(send(channel, order.error()));
  const auto link = std::make_shared<LoadLink>(std::move(channel));
  std::stop_source stop;
  const auto progress = [&](const LoadProgress& news) {
    if (link->given_up()) stop.request_stop();
    ignore(link->tell(news));
  };
  auto engine = source_.load(order->spec, order->inspection,
                             order->keeps_conversations ? make_remote_keeper(link) : nullptr, progress,
                             stop.get_token());
  if (!engine) return ignore(link->tell(engine.error()));
  Loaded loaded{.info_json = (*engine)->info_json(), .props_json = (*engine)->props_json()};
  {
    const MutexLock lock(mutex_);
    loaded.engine = next_id_++;
    if (const auto activity = (*engine)->activity()) loaded.activity = source_.place_of(*activity);
    weights_[loaded.engine] = (*engine)->weights();
    engines_[loaded.engine] = std::move(*engine);
  }
  if (link->tell(loaded)) return;
  std::shared_ptr<Weights> weights;  // nobody knows of it: away with it, the engine first
  std::shared_ptr<Engine> unknown;
  const MutexLock lock(mutex_);
  weights = take(weights_, loaded.engine);
  unknown = take(engines_, loaded.engine);
}

void Service::handle(Channel& channel, Message message) {
  auto order = read_handle(std::move(message));
  if (!order) return ignore(send(channel, order.error()));
  std::shared_ptr<Engine> engine;
  if (order->engine) {
    engine = this->engine(*order->engine);
    if (engine == nullptr)
      return ignore(send(channel, Error{ErrorCode::kNotFound, "there is no such engine"}));
  }
  Request& request = order->request;
  request.should_stop = [&channel] { return channel.hung_up(); };
  const auto reply =
      engine != nullptr ? engine->handle(std::move(request)) : source_.routes().handle(std::move(request));
  ReplyHead head{.status = reply->status(),
                 .is_stream = reply->is_stream(),
                 .content_type = reply->content_type(),
                 .headers = reply->headers()};
  if (!head.is_stream) head.body = reply->take_body();
  if (!send(channel, head) || !head.is_stream) return;
  std::string chunk;
  bool more = true;
  while (more) {
    more = !channel.hung_up() && reply->next(chunk);
    const std::array blobs{as_blob(chunk)};
    if (!channel.send(more ? Kind::kChunk : Kind::kLastChunk, {}, blobs)) return;
    chunk.clear();
  }
}

void Service::sample(Channel& channel, const Message& message) {
  const auto order = read_numbers(message);
  const auto engine = order ? this->engine(order->first) : nullptr;
  if (engine == nullptr) return ignore(send(channel, Error{ErrorCode::kNotFound, "there is no such engine"}));
  ignore(send(channel, engine->sample(std::chrono::milliseconds(order->second))));
}

void Service::probe(Channel& channel, const Message& message) {
  const auto order = read_numbers(message);
  const auto engine = order ? this->engine(order->first) : nullptr;
  if (engine == nullptr) return ignore(send(channel, Error{ErrorCode::kNotFound, "there is no such engine"}));
  const Status probed = engine->probe(std::chrono::milliseconds(order->second));
  ignore(probed ? send(channel, Kind::kDone, std::uint64_t{0}) : send(channel, probed.error()));
}

void Service::release_pages(Channel& channel, const Message& message) {
  const auto order = read_numbers(message);
  std::shared_ptr<Weights> weights;
  if (order) {
    const MutexLock lock(mutex_);
    if (const auto found = weights_.find(order->first); found != weights_.end()) weights = found->second;
  }
  const ByteSize released = weights != nullptr ? weights->release_pages() : ByteSize();
  ignore(send(channel, Kind::kDone, released.bytes()));
}

void Service::end_engine(Channel& channel, const Message& message) {
  const auto order = read_numbers(message);
  std::shared_ptr<Engine> engine;
  if (order) {
    const MutexLock lock(mutex_);
    engine = take(engines_, order->first);
  }
  engine.reset();
  give_back_free_memory();
  ignore(send(channel, Kind::kDone, std::uint64_t{0}));
}

void Service::end_weights(Channel& channel, const Message& message) {
  const auto order = read_numbers(message);
  std::shared_ptr<Weights> weights;
  if (order) {
    const MutexLock lock(mutex_);
    weights = take(weights_, order->first);
  }
  weights.reset();
  give_back_free_memory();
  ignore(send(channel, Kind::kDone, std::uint64_t{0}));
}

std::shared_ptr<Engine> Service::engine(std::uint64_t id) {
  const MutexLock lock(mutex_);
  const auto found = engines_.find(id);
  return found == engines_.end() ? nullptr : found->second;
}

}  // namespace switchyard::engine::worker
