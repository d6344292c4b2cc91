#include "engine/state_shape.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "build-info.h"
#include "engine/in_process.h"

namespace switchyard::engine {
namespace {

constexpr int kFormat = 2;  // raise when the meaning of a kept state changes

/// Options without a say in what a context holds.
constexpr std::string_view kWithoutEffect[] = {
    "alias", "cache-ram", "load-on-startup", "min-p",         "n-predict", "seed",  "stop-timeout",
    "tags",  "threads",   "temperature",     "threads-batch", "timeout",   "top-k", "top-p",
};

/// Options that say how much a context holds. A state fits into any in which there is room for it, unless
/// the model's positions depend on it (Inspection::context_shapes_state).
constexpr std::string_view kSizes[] = {"batch-size", "ctx-size", "kv-unified", "parallel", "ubatch-size"};

/// Options that name files, or lists of files with a scale ("a.gguf:0.5,b.gguf").
constexpr std::string_view kFiles[] = {"mmproj",      "spec-draft-model", "lora",
                                       "lora-scaled", "control-vector",   "control-vector-scaled"};

std::string stamp_of(const std::string& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) return "absent";
  return fmt::format("{}:{}.{}", st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

std::string stamps_of(const std::string& files) {
  std::string stamps;
  for (std::size_t begin = 0; begin <= files.size();) {
    const std::size_t end = std::min(files.find(',', begin), files.size());
    const std::string item = files.substr(begin, end - begin);
    begin = end + 1;
    stamps += stamp_of(item) + '|' + stamp_of(item.substr(0, item.rfind(':'))) + '|';
  }
  return stamps;
}

}  // namespace

std::string state_shape(const Inspection& inspection) {
  std::string shape = fmt::format("{};{};{};", kFormat, llama_build_info(), inspection.weights_key);
  for (const auto& [name, value] : inspection.resolved_args) {
    if (std::ranges::count(kWithoutEffect, name) > 0) continue;
    if (!inspection.context_shapes_state && std::ranges::count(kSizes, name) > 0) continue;
    shape += fmt::format("{}={};", name, value);
    if (std::ranges::count(kFiles, name) > 0) shape += stamps_of(value);
  }
  return shape;
}

}  // namespace switchyard::engine
