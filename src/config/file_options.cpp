#include "config/file_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace switchyard::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileOptions[] = {"mmproj",         "spec-draft-model",     "lora",
                                             "lora-scaled",    "chat-template-file",   "grammar-file",
                                             "media-path",     "json-schema-file",     "lookup-cache-static",
                                             "control-vector", "control-vector-scaled"};

bool lies_in(const fs::path& file, const fs::path& folder) {
  return std::ranges::mismatch(folder, file).in1 == folder.end();
}

}  // namespace

bool is_file_option(std::string_view key) {
  // The short forms that people write for these.
  if (key == "mm" || key == "md" || key == "model-draft" || key == "jf" || key == "lcs") return true;
  return std::ranges::find(kFileOptions, key) != std::end(kFileOptions);
}

std::string replace_files(const std::string& list,
                          const std::function<std::string(const std::string& file)>& replace) {
  std::string out;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string item = list.substr(begin, end - begin);
    const std::size_t scale = item.rfind(':');
    out += fmt::format("{}{}{}", begin == 0 ? "" : ",", replace(item.substr(0, scale)),
                       item.substr(std::min(scale, item.size())));
    begin = end + 1;
  }
  return out;
}

Status check_files(const engine::ArgMap& args, const std::vector<std::string>& folders) {
  if (folders.empty()) return {};
  std::vector<fs::path> allowed;
  std::error_code error;
  for (const std::string& folder : folders) allowed.push_back(fs::weakly_canonical(folder, error));
  std::string outside;
  const auto look = [&](const std::string& file) {
    const fs::path real = fs::weakly_canonical(fs::absolute(file, error), error);
    const auto holds = [&](const fs::path& folder) { return lies_in(real, folder); };
    if (error || std::ranges::none_of(allowed, holds)) outside = file;
    return file;
  };
  for (const auto& [name, value] : args) {
    if (name == "model") (void)look(value);
    if (is_file_option(name)) (void)replace_files(value, look);
  }
  if (outside.empty()) return {};
  return fail(ErrorCode::kPermissionDenied,
              fmt::format("'{}' is outside the folders that models may come from ({})", outside,
                          fmt::join(folders, ", ")));
}

}  // namespace switchyard::config
