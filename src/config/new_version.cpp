#include "config/new_version.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <vector>

#include "config/file_options.h"
#include "engine/args.h"

namespace switchyard::config {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> folders_of(const Sources& sources, const ServerSettings& server) {
  std::vector<fs::path> folders;
  std::error_code error;
  if (!server.allowed_dirs.empty()) {
    for (const std::string& folder : server.allowed_dirs)
      folders.push_back(fs::weakly_canonical(folder, error));
    return folders;
  }
  if (!server.models_dir.empty()) folders.push_back(fs::weakly_canonical(server.models_dir, error));
  if (!sources.own.config_path.empty()) {
    folders.push_back(
        fs::weakly_canonical(fs::absolute(sources.own.config_path, error).parent_path(), error));
  }
  return folders;
}

bool lies_in(const fs::path& file, const fs::path& folder) {
  return std::ranges::mismatch(folder, file).in1 == folder.end();
}

/// The file as an absolute path without links: what is checked is what is opened.
Result<std::string> find_file(const std::vector<fs::path>& folders, const std::string& file) {
  std::error_code error;
  std::vector<fs::path> places;
  if (fs::path(file).is_absolute()) {
    places.emplace_back(file);
  } else {
    for (const fs::path& folder : folders) places.push_back(folder / file);
  }
  for (const fs::path& place : places) {
    const fs::path real = fs::weakly_canonical(place, error);
    if (error) continue;
    if (std::ranges::none_of(folders, [&](const fs::path& folder) { return lies_in(real, folder); })) {
      return fail(ErrorCode::kPermissionDenied,
                  fmt::format("'{}' is outside the folders that models may come from", file));
    }
    if (fs::is_regular_file(real, error)) return real.string();
  }
  return fail(ErrorCode::kNotFound, fmt::format("there is no file '{}' in the configured folders", file));
}

Status check_names(const VersionRequest& request) {
  const std::string& name = request.version;
  const bool is_label = name == "latest" || name == "stable" || name == "previous";
  const bool is_plain =
      std::ranges::none_of(name, [](unsigned char c) { return c == '@' || c <= ' ' || c == 0x7f; });
  if (is_label || !is_plain)
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is no name for a version", name));
  const std::string& hash = request.sha256;
  const bool is_hash =
      hash.size() == 64 && std::ranges::all_of(hash, [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (!hash.empty() && !is_hash)
    return fail(ErrorCode::kInvalidArgument, "'sha256' must be 64 hexadecimal digits");
  return {};
}

}  // namespace

Result<engine::ModelSpec> make_version(const Sources& sources, const ServerSettings& server,
                                       const models::ModelDefinition& model, const VersionRequest& request) {
  if (const Status named = check_names(request); !named) return std::unexpected(named.error());
  const std::vector<fs::path> folders = folders_of(sources, server);
  const Result<std::string> file = find_file(folders, request.file);
  if (!file) return std::unexpected(file.error());
  engine::ModelSpec spec = model.versions.back();
  spec.version = request.version;
  spec.sha256 = request.sha256;
  std::ranges::transform(spec.sha256, spec.sha256.begin(), [](unsigned char c) { return std::tolower(c); });
  spec.file_stamp.clear();
  for (const auto& [key, value] : request.args) {
    const auto arg = engine::canonical_arg(key, value);
    if (!arg) return std::unexpected(arg.error());
    const bool names_file = arg->name == "model" || arg->name == "hf-repo" || arg->name == "hf-file";
    if (arg->scope != engine::ArgScope::kModel || names_file) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not an option of one version", key));
    }
    // What the configuration names is its own affair; a request reaches no other folder.
    const Status inside = check_files({{arg->name, arg->value}}, {folders.begin(), folders.end()});
    if (!inside) return std::unexpected(inside.error());
    spec.args[arg->name] = arg->value;
  }
  spec.args["model"] = *file;
  return spec;
}

}  // namespace switchyard::config
