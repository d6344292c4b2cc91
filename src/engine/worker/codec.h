#pragma once

#include <memory>
#include <optional>

#include "engine/api/engine.h"
#include "engine/slot_state.h"
#include "engine/worker/channel.h"
#include "telemetry/log.h"

// What travels between the server and a worker, as messages: one function to send it, one to read it out of
// a message. Reading errors are kInternal, as of read_message().

namespace switchyard::engine::worker {

/// What a worker is told before anything else.
struct StartOrder {
  std::uint64_t protocol = kProtocol;
  std::string build;  ///< llama.cpp's, which must be the worker's too
  telemetry::LogLevel log_level = telemetry::LogLevel::kInfo;
  WorkerLimits limits = {};
  std::uint32_t cores = 0;
  ArgMap process_args = {};  ///< as of LoaderOptions
};
[[nodiscard]] Status send(Channel& channel, const StartOrder& order);
[[nodiscard]] Result<StartOrder> read_start(const Message& message);

struct LoadOrder {
  ModelSpec spec;  ///< without isolation: that is arranged already
  Inspection inspection;
  bool keeps_conversations = false;
};
[[nodiscard]] Status send(Channel& channel, const LoadOrder& order);
[[nodiscard]] Result<LoadOrder> read_load(const Message& message);

[[nodiscard]] Status send(Channel& channel, const LoadProgress& progress);
[[nodiscard]] Result<LoadProgress> read_progress(const Message& message);

/// What a worker tells of an engine that it has made.
struct Loaded {
  std::uint64_t engine = 0;  ///< what calls name it
  std::string info_json = {}, props_json = {};
  std::optional<std::uint64_t> activity = {};  ///< its place on the BusyBoard
};
[[nodiscard]] Status send(Channel& channel, const Loaded& loaded);
[[nodiscard]] Result<Loaded> read_loaded(const Message& message);

/// kHandle for an engine, kHandleStream without one. should_stop does not travel: it is the hanging up of
/// the channel.
struct HandleOrder {
  std::optional<std::uint64_t> engine = {};
  Request request = {};
};
[[nodiscard]] Status send(Channel& channel, const HandleOrder& order);
[[nodiscard]] Result<HandleOrder> read_handle(Message message);

struct ReplyHead {
  int status = 0;
  bool is_stream = false;
  std::string content_type = {};
  std::map<std::string, std::string> headers = {};
  std::string body = {};  ///< of a reply that is no stream
};
[[nodiscard]] Status send(Channel& channel, const ReplyHead& head);
[[nodiscard]] Result<ReplyHead> read_head(const Message& message);

[[nodiscard]] Status send(Channel& channel, const EngineSample& sample);
[[nodiscard]] Result<EngineSample> read_sample(const Message& message);

[[nodiscard]] Status send(Channel& channel, const Error& error);
/// The error that a kError brings; kInternal for any other message.
[[nodiscard]] Error read_error(const Message& message);

/// A message of up to two numbers: an engine, how long to wait, bytes, a yes or no.
[[nodiscard]] Status send(Channel& channel, Kind kind, std::uint64_t first, std::uint64_t second = 0);
struct Numbers {
  std::uint64_t first = 0, second = 0;
};
[[nodiscard]] Result<Numbers> read_numbers(const Message& message);

/// kFind: what of `owner` shares more than `longer_than` of these tokens.
struct FindOrder {
  std::string owner;
  std::vector<std::int32_t> tokens;
  std::size_t longer_than = 0;
};
[[nodiscard]] Status send(Channel& channel, const FindOrder& order);
[[nodiscard]] Result<FindOrder> read_find(const Message& message);

/// kPut, or kFound where null means that there is none.
[[nodiscard]] Status send_state(Channel& channel, Kind kind, const SlotState* state);
[[nodiscard]] Result<std::unique_ptr<SlotState>> read_state(Message message);

}  // namespace switchyard::engine::worker
