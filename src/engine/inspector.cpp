#include "engine/inspector.h"
#include "base/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <utility>
#include <vector>

#include "engine/child_phase.h"
#include "engine/child_process.h"
#include "engine/in_process.h"
#include "engine/inspection_json.h"

namespace switchyard::engine {
namespace {

constexpr std::chrono::seconds kInspectionTakesAtMost{60};
constexpr int kCacheFormat = 4;  // raise when Inspection or the prediction changes

constexpr const char* kPromptsLog = "log-prompts-dir";

/// Options whose value is a file that shapes the prediction.
constexpr const char* kFileOptions[] = {"model",       "mmproj",       "spec-draft-model",  "lora",
                                        "lora-scaled", "grammar-file", "chat-template-file"};

/// Everything that the answer depends on. Empty when the model file cannot be read: then nothing is cached.
std::string cache_key(const std::string& request_json, const ArgMap& args) {
  std::string key = fmt::format("{}|{}|", kCacheFormat, llama_build_info());
  for (const char* name : kFileOptions) {
    const auto it = args.find(name);
    if (it == args.end()) continue;
    struct stat st = {};
    if (::stat(it->second.c_str(), &st) != 0) {
      if (std::strcmp(name, "model") == 0) return {};
      continue;
    }
    key += fmt::format("{}:{}:{}.{}:{}.{}:{}|", name, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                       st.st_ctim.tv_sec, st.st_ctim.tv_nsec, st.st_ino);
  }
  return key + request_json;
}

/// The last words of a process that died, on one line.
std::string last_words(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.push_back(std::move(line));
  }
  const std::size_t first = lines.size() > 2 ? lines.size() - 2 : 0;
  return fmt::format("{}", fmt::join(lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end(), "; "));
}

Error crash_error(const std::string& path, const ChildResult& child) {
  const std::string how =
      child.signal != 0 ? fmt::format("was ended by signal {} ({})", child.signal, ::strsignal(child.signal))
                        : fmt::format("ended with status {}", child.exit_code);
  return {ErrorCode::kCorruptFile,
          fmt::format(
              "{}: the process that inspected this file {}: the file is corrupt or uses something that this "
              "build of llama.cpp cannot read",
              path, how),
          last_words(child.error_tail)};
}

}  // namespace

Inspector::Inspector(std::string helper_path, const std::string& cache_path, ByteSize default_prompt_cache)
    : helper_path_(std::move(helper_path)), default_prompt_cache_(default_prompt_cache), cache_(cache_path) {}

Result<Inspection> Inspector::inspect(const ModelSpec& spec, const InspectOptions& options,
                                      const std::stop_token& stop) {
  const auto model = spec.args.find("model");
  if (model == spec.args.end() || model->second.empty()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("model '{}' names no file", spec.model));
  }
  // What is said of a model is JSON, here and in every reply.
  for (const auto& [name, value] : spec.args) {
    if (!is_utf8(value)) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: its {} is not UTF-8: give it another name", to_utf8(spec.model),
                              name == "model" ? "file's name" : "option '" + name + "'"),
                  to_utf8(value));
    }
  }
  if (std::error_code ec; !std::filesystem::exists(model->second, ec)) {
    if (!ec) return fail(ErrorCode::kNotFound, fmt::format("{}: no such file", model->second));
    return fail(ErrorCode::kNotFound, fmt::format("{}: cannot be read: {}", model->second, ec.message()));
  }
  // Prompts are written where they are asked for, by the engine: an inspection may write nothing.
  ModelSpec looked_at = spec;
  const auto log_dir = looked_at.args.extract(kPromptsLog);
  const auto with_log_dir = [&](Result<Inspection> inspection) {
    if (inspection && !log_dir.empty()) inspection->resolved_args[kPromptsLog] = log_dir.mapped();
    return inspection;
  };
  const std::string request = to_json(InspectionRequest{
      .spec = looked_at, .options = options, .default_prompt_cache = default_prompt_cache_});
  const std::string key = cache_key(request, spec.args);
  if (!key.empty()) {
    if (const auto known = cache_.get(key)) {
      if (auto inspection = inspection_from_json(*known)) return with_log_dir(std::move(inspection));
    }
  }
  auto child = run_child(helper_path_, {"inspect-child"}, request, kInspectionTakesAtMost, stop);
  if (!child) {
    Error error = child.error();
    error.message = fmt::format("{}: cannot be inspected: {}", model->second, error.message);
    return std::unexpected(error);
  }
  if (child->exit_code == kPhaseDied) {
    auto died = inspection_from_json(child->output);
    if (died) return std::unexpected(crash_error(model->second, *child));
    died.error().cause = last_words(child->error_tail);
    return died;
  }
  if (child->signal == SIGSYS) {
    return fail(
        ErrorCode::kPermissionDenied,
        fmt::format("{}: its inspection tried what reading a model never needs and was ended: do not trust "
                    "the file",
                    model->second),
        last_words(child->error_tail));
  }
  if (child->exit_code != 0) return std::unexpected(crash_error(model->second, *child));
  auto inspection = inspection_from_json(child->output);
  if (inspection && !key.empty()) cache_.put(key, child->output);
  return with_log_dir(std::move(inspection));
}

}  // namespace switchyard::engine
