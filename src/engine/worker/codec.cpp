#include "engine/worker/codec.h"

#include <array>
#include <cstring>
#include <utility>

#include "engine/inspection_json.h"

namespace switchyard::engine::worker {
namespace {

using TextMap = std::map<std::string, std::string>;
using Blob = std::span<const std::uint8_t>;

std::unexpected<Error> not_understood() {
  return fail(ErrorCode::kInternal, "a worker process and the server do not understand each other");
}

void write(FieldWriter& to, const TextMap& map) {
  to.number(map.size());
  for (const auto& [key, value] : map) to.text(key).text(value);
}

TextMap read_map(FieldReader& from) {
  TextMap map;
  for (std::uint64_t left = from.number(); left > 0 && !from.missing(); --left) {
    std::string key = from.text();
    map[std::move(key)] = from.text();
  }
  return map;
}

void write(FieldWriter& to, const WorkerLimits& limits) {
  to.number(limits.memory.bytes()).number(static_cast<std::uint64_t>(limits.nice)).number(limits.cpus.size());
  for (const std::uint32_t cpu : limits.cpus) to.number(cpu);
}

WorkerLimits read_limits(FieldReader& from) {
  WorkerLimits limits{.memory = ByteSize(from.number()), .nice = static_cast<int>(from.number())};
  for (std::uint64_t left = from.number(); left > 0 && !from.missing(); --left)
    limits.cpus.push_back(static_cast<std::uint32_t>(from.number()));
  return limits;
}

template <typename... Blobs>
Status send_with(Channel& channel, Kind kind, std::string_view fields, const Blobs&... blobs) {
  const std::array<Blob, sizeof...(Blobs)> all{blobs...};
  return channel.send(kind, fields, all);
}

template <typename T>
Blob bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)};
}

std::vector<std::int32_t> tokens_of(const Bytes& blob) {
  std::vector<std::int32_t> tokens(blob.size() / sizeof(std::int32_t));
  if (!tokens.empty()) std::memcpy(tokens.data(), blob.data(), tokens.size() * sizeof(std::int32_t));
  return tokens;
}

}  // namespace

Status send(Channel& channel, const StartOrder& order) {
  FieldWriter fields;
  fields.number(order.protocol).text(order.build).number(static_cast<std::uint64_t>(order.log_level));
  fields.number(order.cores);
  write(fields, order.limits);
  write(fields, order.process_args);
  return channel.send(Kind::kStart, fields.take());
}

Result<StartOrder> read_start(const Message& message) {
  FieldReader fields(message.fields);
  StartOrder order{.protocol = fields.number(), .build = fields.text()};
  order.log_level = static_cast<telemetry::LogLevel>(fields.number());
  order.cores = static_cast<std::uint32_t>(fields.number());
  order.limits = read_limits(fields);
  order.process_args = read_map(fields);
  if (message.kind != Kind::kStart || !fields.complete()) return not_understood();
  return order;
}

Status send(Channel& channel, const LoadOrder& order) {
  FieldWriter fields;
  fields.text(order.spec.model).text(order.spec.version).text(order.spec.reply_name);
  write(fields, order.spec.args);
  write(fields, order.inspection.resolved_args);  // as they are: JSON would mend what is no UTF-8
  fields.number(order.keeps_conversations ? 1 : 0);
  const std::string inspection = to_json(Result<Inspection>(order.inspection));
  return send_with(channel, Kind::kLoad, fields.take(), as_blob(inspection));
}

Result<LoadOrder> read_load(const Message& message) {
  if (message.kind != Kind::kLoad || message.blobs.size() != 1) return not_understood();
  auto inspection = inspection_from_json(to_text(message.blobs[0]));
  if (!inspection) return std::unexpected(inspection.error());
  FieldReader fields(message.fields);
  LoadOrder order;
  order.spec.model = fields.text();
  order.spec.version = fields.text();
  order.spec.reply_name = fields.text();
  order.spec.args = read_map(fields);
  order.inspection = std::move(*inspection);
  order.inspection.resolved_args = read_map(fields);
  order.keeps_conversations = fields.number() != 0;
  if (!fields.complete()) return not_understood();
  return order;
}

Status send(Channel& channel, const LoadProgress& progress) {
  FieldWriter fields;
  fields.text(progress.stage).real(progress.value).number(progress.stages.size());
  for (const std::string& stage : progress.stages) fields.text(stage);
  return channel.send(Kind::kProgress, fields.take());
}

Result<LoadProgress> read_progress(const Message& message) {
  FieldReader fields(message.fields);
  LoadProgress progress;
  progress.stage = fields.text();
  progress.value = fields.real();
  for (std::uint64_t left = fields.number(); left > 0 && !fields.missing(); --left)
    progress.stages.push_back(fields.text());
  if (message.kind != Kind::kProgress || !fields.complete()) return not_understood();
  return progress;
}

Status send(Channel& channel, const Loaded& loaded) {
  FieldWriter fields;
  fields.number(loaded.engine).number(loaded.activity ? *loaded.activity + 1 : 0);
  return send_with(channel, Kind::kLoaded, fields.take(), as_blob(loaded.info_json),
                   as_blob(loaded.props_json));
}

Result<Loaded> read_loaded(const Message& message) {
  FieldReader fields(message.fields);
  Loaded loaded{.engine = fields.number()};
  if (const std::uint64_t activity = fields.number(); activity > 0) loaded.activity = activity - 1;
  if (message.kind != Kind::kLoaded || message.blobs.size() != 2 || !fields.complete())
    return not_understood();
  loaded.info_json = to_text(message.blobs[0]);
  loaded.props_json = to_text(message.blobs[1]);
  return loaded;
}

Status send(Channel& channel, const HandleOrder& order) {
  const Request& request = order.request;
  FieldWriter fields;
  if (order.engine) fields.number(*order.engine);
  fields.text(request.method)
      .text(request.path)
      .text(request.query_string)
      .text(request.owner)
      .text(request.asker);
  write(fields, request.params);
  write(fields, request.headers);
  fields.number(request.files.size());
  std::vector<Blob> blobs{as_blob(request.body)};
  for (const auto& [name, file] : request.files) {
    fields.text(name).text(file.filename).text(file.content_type);
    blobs.emplace_back(file.data);
  }
  return channel.send(order.engine ? Kind::kHandle : Kind::kHandleStream, fields.take(), blobs);
}

Result<HandleOrder> read_handle(Message message) {
  if (message.kind != Kind::kHandle && message.kind != Kind::kHandleStream) return not_understood();
  FieldReader fields(message.fields);
  HandleOrder order;
  if (message.kind == Kind::kHandle) order.engine = fields.number();
  Request& request = order.request;
  request.method = fields.text();
  request.path = fields.text();
  request.query_string = fields.text();
  request.owner = fields.text();
  request.asker = fields.text();
  request.params = read_map(fields);
  request.headers = read_map(fields);
  const std::uint64_t files = fields.number();
  if (fields.missing() || message.blobs.size() != files + 1) return not_understood();
  request.body = to_text(message.blobs[0]);
  for (std::size_t i = 1; i < message.blobs.size(); ++i) {
    UploadedFile& file = request.files[fields.text()];
    file.filename = fields.text();
    file.content_type = fields.text();
    file.data = std::move(message.blobs[i]);
  }
  if (!fields.complete()) return not_understood();
  return order;
}

Status send(Channel& channel, const ReplyHead& head) {
  FieldWriter fields;
  fields.number(static_cast<std::uint64_t>(head.status)).number(head.is_stream ? 1 : 0);
  fields.text(head.content_type);
  write(fields, head.headers);
  return send_with(channel, Kind::kHead, fields.take(), as_blob(head.body));
}

Result<ReplyHead> read_head(const Message& message) {
  FieldReader fields(message.fields);
  ReplyHead head{.status = static_cast<int>(fields.number()), .is_stream = fields.number() != 0};
  head.content_type = fields.text();
  head.headers = read_map(fields);
  if (message.kind != Kind::kHead || message.blobs.size() != 1 || !fields.complete()) return not_understood();
  head.body = to_text(message.blobs[0]);
  return head;
}

Status send(Channel& channel, const EngineSample& sample) {
  FieldWriter fields;
  fields.number(sample.prompt_tokens).real(sample.prompt_seconds);
  fields.number(sample.predicted_tokens).real(sample.predicted_seconds);
  fields.number(sample.decode_calls).number(sample.busy_slot_sum).number(sample.max_tokens);
  fields.number(sample.requests_processing).number(sample.requests_deferred);
  return channel.send(Kind::kSampled, fields.take());
}

Result<EngineSample> read_sample(const Message& message) {
  FieldReader fields(message.fields);
  EngineSample sample;
  sample.prompt_tokens = fields.number();
  sample.prompt_seconds = fields.real();
  sample.predicted_tokens = fields.number();
  sample.predicted_seconds = fields.real();
  sample.decode_calls = fields.number();
  sample.busy_slot_sum = fields.number();
  sample.max_tokens = fields.number();
  sample.requests_processing = static_cast<std::uint32_t>(fields.number());
  sample.requests_deferred = static_cast<std::uint32_t>(fields.number());
  if (message.kind != Kind::kSampled || !fields.complete()) return not_understood();
  return sample;
}

Status send(Channel& channel, const Error& error) {
  FieldWriter fields;
  fields.number(static_cast<std::uint64_t>(error.code)).text(error.message).text(error.cause);
  return channel.send(Kind::kError, fields.take());
}

Error read_error(const Message& message) {
  FieldReader fields(message.fields);
  const std::uint64_t code = fields.number();
  Error error{.code = static_cast<ErrorCode>(code), .message = fields.text(), .cause = fields.text()};
  if (message.kind != Kind::kError || !fields.complete() ||
      code > static_cast<std::uint64_t>(ErrorCode::kInternal))
    return not_understood().error();
  return error;
}

Status send(Channel& channel, Kind kind, std::uint64_t first, std::uint64_t second) {
  FieldWriter fields;
  fields.number(first).number(second);
  return channel.send(kind, fields.take());
}

Result<Numbers> read_numbers(const Message& message) {
  FieldReader fields(message.fields);
  const Numbers numbers{.first = fields.number(), .second = fields.number()};
  if (!fields.complete()) return not_understood();
  return numbers;
}

Status send(Channel& channel, const FindOrder& order) {
  FieldWriter fields;
  fields.text(order.owner).number(order.longer_than);
  return send_with(channel, Kind::kFind, fields.take(), bytes_of(order.tokens));
}

Result<FindOrder> read_find(const Message& message) {
  FieldReader fields(message.fields);
  FindOrder order{.owner = fields.text(), .tokens = {}, .longer_than = fields.number()};
  if (message.kind != Kind::kFind || message.blobs.size() != 1 || !fields.complete()) return not_understood();
  order.tokens = tokens_of(message.blobs[0]);
  return order;
}

Status send_state(Channel& channel, Kind kind, const SlotState* state) {
  if (state == nullptr) return channel.send(kind);
  FieldWriter fields;
  fields.text(state->owner);
  std::vector<Blob> blobs{bytes_of(state->tokens), state->main, state->draft};
  for (const SlotState::Checkpoint& c : state->checkpoints) {
    fields.number(static_cast<std::uint64_t>(c.n_tokens));
    fields.number(static_cast<std::uint64_t>(c.pos_min)).number(static_cast<std::uint64_t>(c.pos_max));
    blobs.insert(blobs.end(), {c.main, c.draft, c.speculative});
  }
  return channel.send(kind, fields.take(), blobs);
}

Result<std::unique_ptr<SlotState>> read_state(Message message) {
  constexpr std::size_t kOfAll = 3, kOfCheckpoint = 3;
  if (message.kind != Kind::kPut && message.kind != Kind::kFound) return not_understood();
  std::vector<Bytes>& blobs = message.blobs;
  if (blobs.empty()) return nullptr;
  if (blobs.size() % kOfCheckpoint != 0) return not_understood();
  auto state = std::make_unique<SlotState>();
  state->tokens = tokens_of(blobs[0]);
  state->main = std::move(blobs[1]);
  state->draft = std::move(blobs[2]);
  FieldReader fields(message.fields);
  state->owner = fields.text();
  for (std::size_t i = kOfAll; i < blobs.size(); i += kOfCheckpoint) {
    SlotState::Checkpoint& c = state->checkpoints.emplace_back();
    c.n_tokens = static_cast<std::int64_t>(fields.number());
    c.pos_min = static_cast<std::int32_t>(fields.number());
    c.pos_max = static_cast<std::int32_t>(fields.number());
    c.main = std::move(blobs[i]);
    c.draft = std::move(blobs[i + 1]);
    c.speculative = std::move(blobs[i + 2]);
  }
  if (!fields.complete()) return not_understood();
  return state;
}

}  // namespace switchyard::engine::worker
