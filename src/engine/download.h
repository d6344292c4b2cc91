#pragma once

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

/// Fetches `repo` ("user/name[:quant]") into the cache; blocks. `progress` may be called from several
/// threads; returning false cancels (kCancelled). Errors: kNotFound, kUnavailable with the cause.
[[nodiscard]] Status download_model(const std::string& repo, const std::string& token,
                                    const std::function<bool(const DownloadProgress&)>& progress);

/// Checks that `repo` exists and has a file that can be fetched, without fetching it.
[[nodiscard]] Status check_remote_model(const std::string& repo, const std::string& token);

/// What is in the cache: name as the router lists it -> options that load it ("model" resolved to a
/// local path, "mmproj" where there is one).
[[nodiscard]] Result<std::map<std::string, ArgMap>> cached_models();

/// Deletes a cached model's files. Errors: kNotFound.
[[nodiscard]] Status remove_cached_model(const std::string& name);

}  // namespace switchyard::engine
