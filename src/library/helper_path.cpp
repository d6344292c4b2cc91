#include "library/helper_path.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace switchyard::library {
namespace {

bool is_program(const std::filesystem::path& file) {
  std::error_code error;
  return std::filesystem::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> find_helper(const std::string& configured, const std::string& program_dir,
                                std::string_view path) {
  if (!configured.empty()) {
    if (is_program(configured)) return configured;
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("helper_path '{}' is no program; give the path of the installed `switchyard`",
                            configured));
  }
  const std::filesystem::path program(program_dir);
  std::vector<std::filesystem::path> candidates{program / "switchyard",
                                                program / ".." / "bin" / "switchyard"};
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    if (end > 0) candidates.push_back(std::filesystem::path(path.substr(0, end)) / "switchyard");
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  for (const auto& candidate : candidates) {
    const auto file = candidate.lexically_normal();  // "a/../b" needs no "a"
    if (is_program(file)) return file.string();
  }
  return fail(
      ErrorCode::kInvalidArgument,
      "the `switchyard` program, which reads model files in a child process, was found neither beside "
      "this program nor in PATH; set ModelManagerOptions::helper_path");
}

Result<std::string> find_helper(const std::string& configured) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const char* path = std::getenv("PATH");
  return find_helper(configured, program.parent_path().string(), path == nullptr ? "" : path);
}

}  // namespace switchyard::library
