#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "engine/api/engine.h"
#include "switchyard/result.h"

// llama.cpp's own downloader and cache (Hugging Face layout; HF_ENDPOINT / MODEL_ENDPOINT are
// honoured by llama.cpp). Any thread.

namespace switchyard::engine {

struct DownloadProgress {
  std::string url;
  std::uint64_t downloaded = 0;
  std::uint64_t total = 0;  ///< 0 when not known
};

/// Fetches `repo` ("user/name[:quant]") into the cache, with its multimodal projector; blocks. `file`
/// names one file of the repository instead of the quantisation. `progress` may be called from
/// several threads; returning false cancels (kCancelled). Errors: kInvalidArgument for a name that is
/// none, kNotFound, kPermissionDenied (a token is needed), kUnavailable with the cause.
[[nodiscard]] Status download_model(const std::string& repo, const std::string& token,
                                    const std::function<bool(const DownloadProgress&)>& progress,
                                    const std::string& file = {});

/// Checks that `repo` exists and has a file that can be fetched, without fetching it. Errors as above.
[[nodiscard]] Status check_remote_model(const std::string& repo, const std::string& token);

/// The options that load `repo` from the cache ("model", "mmproj" where there is one); never uses the
/// network. Errors: kNotFound when it has not been fetched, with what to do.
[[nodiscard]] Result<ArgMap> cached_model_args(const std::string& repo, const std::string& file = {});

/// What is in the cache: name as the router lists it ("user/name:QUANT") -> options that load it.
[[nodiscard]] Result<std::map<std::string, ArgMap>> cached_models();

/// Deletes a cached model's files. Errors: kNotFound.
[[nodiscard]] Status remove_cached_model(const std::string& name);

}  // namespace switchyard::engine
