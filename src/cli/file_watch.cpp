#include "cli/file_watch.h"

#include <filesystem>
#include <utility>

#include "registry/registry.h"

namespace switchyard::cli {
namespace {

namespace fs = std::filesystem;

/// Sub-folders hold the models of several files; deeper ones are not looked into.
void stamp_folder(const std::string& folder, int depth, FileStamps& stamps) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    std::error_code unknown;
    if (depth > 0 && it->is_directory(unknown)) stamp_folder(path.string(), depth - 1, stamps);
    if (path.extension() == ".gguf") stamps[path.string()] = registry::file_stamp(path.string());
  }
}

}  // namespace

FileStamps stamp_files(const config::Sources& sources, const config::Catalog& catalog) {
  FileStamps stamps;
  const auto stamp = [&](const std::string& path) {
    if (!path.empty()) stamps[path] = registry::file_stamp(path);
  };
  stamp(sources.own.config_path);
  stamp(catalog.server.models_preset);
  stamp(catalog.server.api_key_file);
  if (!catalog.server.models_dir.empty()) stamp_folder(catalog.server.models_dir, 1, stamps);
  for (const models::ModelDefinition& model : catalog.models) {
    for (const engine::ModelSpec& version : model.versions) {
      if (const auto file = version.args.find("model"); file != version.args.end()) stamp(file->second);
    }
  }
  return stamps;
}

FileWatch::FileWatch(std::function<FileStamps()> look, std::function<void()> changed)
    : look_(std::move(look)), changed_(std::move(changed)), known_(look_()), last_(known_) {}

void FileWatch::tick() {
  FileStamps now = look_();
  const bool still = now == last_;
  last_ = std::move(now);
  if (!still || last_ == known_) return;
  known_ = last_;
  changed_();
  // It may look at other files now: those are as they are, and the others as they were before.
  last_ = look_();
  FileStamps before = std::exchange(known_, last_);
  for (auto& [path, stamp] : known_) {
    if (const auto old = before.find(path); old != before.end()) stamp = old->second;
  }
}

}  // namespace switchyard::cli
