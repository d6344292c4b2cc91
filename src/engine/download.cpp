#include "engine/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "arg.h"
#include "common.h"
#include "download.h"

namespace switchyard::engine {
namespace {

/// Hands llama.cpp's callbacks on; several files are fetched at once, each on its own thread.
class Callback final : public common_download_callback {
 public:
  explicit Callback(const std::function<bool(const DownloadProgress&)>& progress) : progress_(progress) {}
  void on_start(const common_download_progress& p) override { report(p); }
  void on_update(const common_download_progress& p) override { report(p); }
  void on_done(const common_download_progress& p, bool /*ok*/) override { report(p); }
  bool is_cancelled() const override { return cancelled_; }

 private:
  void report(const common_download_progress& p) {
    if (progress_ && !progress_({.url = p.url, .downloaded = p.downloaded, .total = p.total}))
      cancelled_ = true;
  }
  const std::function<bool(const DownloadProgress&)>& progress_;
  std::atomic<bool> cancelled_ = false;
};

bool is_word(std::string_view text, std::string_view also) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) != 0 || also.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

/// The names become paths and, in llama.cpp, a regular expression: only plain ones go on.
Status check_name(const std::string& name) {
  const std::size_t slash = name.find('/');
  const std::size_t colon = name.find(':');
  const std::string_view whole = name;
  const bool valid = slash != std::string::npos && is_word(whole.substr(0, slash), "_-.") &&
                     is_word(whole.substr(slash + 1, colon - slash - 1), "_-.") &&
                     (colon == std::string::npos || is_word(whole.substr(colon + 1), "_-")) &&
                     whole.find("..") == std::string_view::npos;
  if (valid) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is no repository; expected user/name[:quant]", name));
}

std::string repo_part(const std::string& name) { return name.substr(0, name.find(':')); }

/// llama.cpp only logs why a repository cannot be listed, so it is asked for once here.
Status probe(const std::string& name, const std::string& token) {
  const std::string endpoint = common_get_model_endpoint();
  common_remote_params params;
  params.timeout = 30;
  params.max_size = 4L << 20;
  if (!token.empty()) params.headers.emplace_back("Authorization", "Bearer " + token);
  try {
    const long status =
        common_remote_get_content(endpoint + "api/models/" + repo_part(name) + "/refs", params).first;
    if (status == 200) return {};
    if (status == 404)
      return fail(ErrorCode::kNotFound, fmt::format("no repository '{}' at {}", repo_part(name), endpoint));
    if (status == 401 || status == 403) {
      return fail(ErrorCode::kPermissionDenied,
                  fmt::format("repository '{}' is absent or needs a token (HF_TOKEN or --hf-token)",
                              repo_part(name)));
    }
    return fail(ErrorCode::kUnavailable,
                fmt::format("{} answered with status {}; try again later", endpoint, status));
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, fmt::format("{} cannot be reached", endpoint), e.what());
  }
}

Status check_plan(const common_models_handler& handler, const std::string& name) {
  if (common_models_handler_is_preset_repo(handler)) {
    return fail(
        ErrorCode::kUnimplemented,
        fmt::format("'{}' holds a preset file, not a model; repositories of presets are not supported",
                    name));
  }
  if (!handler.plan.primary.path.empty()) return {};
  return fail(ErrorCode::kNotFound, fmt::format("repository '{}' has no GGUF file for what was asked", name));
}

common_params params_for(const std::string& repo, const std::string& file, const std::string& token) {
  common_params params;
  params.model.hf_repo = repo;
  params.model.hf_file = file;
  params.hf_token = token;
  return params;
}

Result<common_models_handler> plan_for(const common_params& params, const std::string& repo) {
  try {
    common_models_handler handler = common_models_handler_init(params, LLAMA_EXAMPLE_SERVER);
    if (const Status planned = check_plan(handler, repo); !planned) return std::unexpected(planned.error());
    return handler;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, fmt::format("repository '{}' cannot be read", repo), e.what());
  }
}

}  // namespace

Status download_model(const std::string& repo, const std::string& token,
                      const std::function<bool(const DownloadProgress&)>& progress, const std::string& file) {
  if (const Status named = check_name(repo); !named) return named;
  if (const Status there = probe(repo, token); !there) return there;
  common_params params = params_for(repo, file, token);
  Result<common_models_handler> handler = plan_for(params, repo);
  if (!handler) return std::unexpected(handler.error());
  Callback callback(progress);
  try {
    common_models_handler_apply(*handler, params, &callback);
  } catch (const std::exception& e) {
    if (callback.is_cancelled())
      return fail(ErrorCode::kCancelled, fmt::format("download of '{}' was cancelled", repo));
    return fail(ErrorCode::kUnavailable,
                fmt::format("download of '{}' failed; try again to go on with it", repo), e.what());
  }
  return {};
}

Status check_remote_model(const std::string& repo, const std::string& token) {
  if (const Status named = check_name(repo); !named) return named;
  if (const Status there = probe(repo, token); !there) return there;
  const Result<common_models_handler> handler = plan_for(params_for(repo, {}, token), repo);
  if (!handler) return std::unexpected(handler.error());
  return {};
}

Result<ArgMap> cached_model_args(const std::string& repo, const std::string& file) {
  if (const Status named = check_name(repo); !named) return std::unexpected(named.error());
  try {
    common_download_opts options;
    options.offline = true;
    options.download_mmproj = true;
    const common_params params = params_for(repo, file, {});
    const common_download_hf_plan plan = common_download_get_hf_plan(params.model, options);
    if (plan.primary.local_path.empty()) {
      return fail(ErrorCode::kNotFound,
                  fmt::format("'{}' is not in the cache; fetch it with `switchyard pull {}`", repo, repo));
    }
    ArgMap args = {{"model", plan.primary.local_path}};
    if (!plan.mmproj.local_path.empty()) args["mmproj"] = plan.mmproj.local_path;
    return args;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, "the model cache cannot be read", e.what());
  }
}

Result<std::map<std::string, ArgMap>> cached_models() {
  std::map<std::string, ArgMap> models;
  try {
    for (const common_cached_model_info& info : common_list_cached_models()) {
      const std::string name = info.to_string();
      if (Result<ArgMap> args = cached_model_args(name)) models.emplace(name, std::move(*args));
    }
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, "the model cache cannot be read", e.what());
  }
  return models;
}

Status remove_cached_model(const std::string& name) {
  if (const Status named = check_name(name); !named) return named;
  try {
    if (common_download_remove(name)) return {};
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnavailable, fmt::format("'{}' cannot be removed from the cache", name),
                e.what());
  }
  return fail(ErrorCode::kNotFound, fmt::format("'{}' is not in the cache", name));
}

}  // namespace switchyard::engine
