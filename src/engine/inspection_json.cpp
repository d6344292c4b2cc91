#include "engine/inspection_json.h"

#include <array>
#include <nlohmann/json.hpp>

namespace switchyard::engine {
namespace {

using nlohmann::json;

constexpr std::array kCodes = {
    ErrorCode::kInvalidArgument,  ErrorCode::kNotFound,
    ErrorCode::kCorruptFile,      ErrorCode::kUnsupportedArchitecture,
    ErrorCode::kDoesNotFit,       ErrorCode::kUnavailable,
    ErrorCode::kTimeout,          ErrorCode::kInternal,
    ErrorCode::kPermissionDenied,
};

ErrorCode code_from(const std::string& name) {
  for (const ErrorCode code : kCodes) {
    if (to_string(code) == name) return code;
  }
  return ErrorCode::kInternal;
}

json sizes_to_json(const std::vector<ByteSize>& sizes) {
  json list = json::array();
  for (const ByteSize size : sizes) list.push_back(size.bytes());
  return list;
}

std::vector<ByteSize> sizes_from_json(const json& list) {
  std::vector<ByteSize> sizes;
  for (const json& bytes : list) sizes.emplace_back(bytes.get<std::uint64_t>());
  return sizes;
}

json items_to_json(const MemoryNeed& need) {
  json items = json::array();
  for (const MemoryNeed::Item& i : need.items) {
    items.push_back({{"device", i.device},
                     {"weights_mapped", i.weights_mapped.bytes()},
                     {"weights_private", i.weights_private.bytes()},
                     {"context", i.context.bytes()},
                     {"compute", i.compute.bytes()},
                     {"vocabulary", i.vocabulary.bytes()},
                     {"prompt_cache", i.prompt_cache.bytes()},
                     {"device_memory", i.device_memory.bytes()}});
  }
  return items;
}

MemoryNeed need_from_json(const json& items, const json& host_buffers) {
  MemoryNeed need{.items = {}, .host_buffers = sizes_from_json(host_buffers)};
  const auto size = [](const json& item, const char* key) {
    return ByteSize(item.at(key).get<std::uint64_t>());
  };
  for (const json& item : items) {
    need.items.push_back({.device = item.at("device").get<std::string>(),
                          .weights_mapped = size(item, "weights_mapped"),
                          .weights_private = size(item, "weights_private"),
                          .context = size(item, "context"),
                          .compute = size(item, "compute"),
                          .vocabulary = size(item, "vocabulary"),
                          .prompt_cache = size(item, "prompt_cache"),
                          .device_memory = size(item, "device_memory")});
  }
  return need;
}

}  // namespace

std::string to_json(const InspectionRequest& request) {
  json budgets = json::object();
  for (const auto& [device, size] : request.options.device_budgets) budgets[device] = size.bytes();
  return json{{"model", request.spec.model},
              {"version", request.spec.version},
              {"args", request.spec.args},
              {"sha256", request.spec.sha256},
              {"host_budget", request.options.host_budget.bytes()},
              {"device_budgets", budgets},
              {"beside_on_device", request.options.beside_on_device.bytes()},
              {"default_prompt_cache", request.default_prompt_cache.bytes()}}
      .dump();
}

Result<InspectionRequest> inspection_request_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    InspectionRequest request;
    request.spec.model = j.at("model").get<std::string>();
    request.spec.version = j.at("version").get<std::string>();
    request.spec.args = j.at("args").get<ArgMap>();
    request.spec.sha256 = j.at("sha256").get<std::string>();
    request.options.host_budget = ByteSize(j.at("host_budget").get<std::uint64_t>());
    for (const auto& [device, bytes] : j.at("device_budgets").items()) {
      request.options.device_budgets[device] = ByteSize(bytes.get<std::uint64_t>());
    }
    request.options.beside_on_device = ByteSize(j.at("beside_on_device").get<std::uint64_t>());
    request.default_prompt_cache = ByteSize(j.at("default_prompt_cache").get<std::uint64_t>());
    return request;
  } catch (const json::exception& e) {
    return fail(ErrorCode::kInternal, "the inspection child was sent something that is no request", e.what());
  }
}

std::string to_json(const Result<Inspection>& answer) {
  if (!answer) {
    const Error& e = answer.error();
    return json{{"error", {{"code", to_string(e.code)}, {"message", e.message}, {"cause", e.cause}}}}.dump(
        -1, ' ', false, json::error_handler_t::replace);
  }
  const Inspection& i = *answer;
  return json{{"weights_key", i.weights_key},
              {"need", items_to_json(i.need)},
              {"host_buffers", sizes_to_json(i.need.host_buffers)},
              {"resolved_args", i.resolved_args},
              {"n_ctx", i.n_ctx},
              {"n_ctx_train", i.n_ctx_train},
              {"n_layers", i.n_layers},
              {"n_slots", i.n_slots},
              {"n_params", i.n_params},
              {"file_size", i.file_size.bytes()},
              {"architecture", i.architecture},
              {"inp_vision", i.inp_vision},
              {"inp_audio", i.inp_audio},
              {"context_shapes_state", i.context_shapes_state},
              {"context_probes", i.context_probes},
              {"details", i.details_json}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Inspection> inspection_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    if (j.contains("error")) {
      const json& e = j.at("error");
      return fail(code_from(e.at("code").get<std::string>()), e.at("message").get<std::string>(),
                  e.at("cause").get<std::string>());
    }
    return Inspection{.weights_key = j.at("weights_key").get<std::string>(),
                      .need = need_from_json(j.at("need"), j.at("host_buffers")),
                      .resolved_args = j.at("resolved_args").get<ArgMap>(),
                      .n_ctx = j.at("n_ctx").get<std::uint32_t>(),
                      .n_ctx_train = j.at("n_ctx_train").get<std::uint32_t>(),
                      .n_layers = j.at("n_layers").get<std::uint32_t>(),
                      .n_slots = j.at("n_slots").get<std::uint32_t>(),
                      .n_params = j.at("n_params").get<std::uint64_t>(),
                      .file_size = ByteSize(j.at("file_size").get<std::uint64_t>()),
                      .architecture = j.at("architecture").get<std::string>(),
                      .inp_vision = j.at("inp_vision").get<bool>(),
                      .inp_audio = j.at("inp_audio").get<bool>(),
                      .context_shapes_state = j.at("context_shapes_state").get<bool>(),
                      .context_probes = j.at("context_probes").get<std::vector<int>>(),
                      .details_json = j.at("details").get<std::string>()};
  } catch (const json::exception& e) {
    return fail(ErrorCode::kInternal, "the inspection child answered with something that is no answer",
                e.what());
  }
}

}  // namespace switchyard::engine
