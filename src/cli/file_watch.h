#pragma once

#include <functional>
#include <map>
#include <string>

#include "config/catalog.h"

namespace switchyard::cli {

/// What a reload would read: each path with registry::file_stamp(), empty where there is no such file.
using FileStamps = std::map<std::string, std::string>;

/// The config, the INI presets, the key file, the GGUF files of the models folder and those of `catalog`.
/// Reads folders: blocks.
[[nodiscard]] FileStamps stamp_files(const config::Sources& sources, const config::Catalog& catalog);

/// Tells of changed files once they have held still from one look to the next, so that a file which is
/// being written is left alone. One thread.
class FileWatch {
 public:
  /// `changed` is called by tick() and may change what `look` looks at.
  FileWatch(std::function<FileStamps()> look, std::function<void()> changed);
  /// Looks.
  void tick();

 private:
  const std::function<FileStamps()> look_;
  const std::function<void()> changed_;
  FileStamps known_;  ///< as last told of
  FileStamps last_;   ///< as seen by the last tick()
};

}  // namespace switchyard::cli
