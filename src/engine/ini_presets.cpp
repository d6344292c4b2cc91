#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/args.h"
#include "engine/ini_text.h"

namespace switchyard::engine {
namespace {

Result<std::string> read_text(const std::string& path) {
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, error)) {  // a folder opens as a file does
    return fail(ErrorCode::kNotFound, fmt::format("presets file '{}' cannot be read", path));
  }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<ArgMap> section_args(const std::string& path, const IniSection& section,
                            std::vector<std::string>& notes) {
  ArgMap args;
  for (const IniEntry& entry : section.entries) {
    if (entry.key == "version") continue;  // reserved by llama.cpp for the file's own version
    const Result<CanonicalArg> arg = canonical_arg(entry.key, entry.value);
    const std::string where = fmt::format("{}:{}: section [{}]", path, entry.line, section.name);
    if (!arg) {
      return fail(arg.error().code, fmt::format("{}: {}", where, arg.error().message), arg.error().cause);
    }
    if (arg->scope != ArgScope::kModel) {  // llama-server's router drops or overrides its own, too
      notes.push_back(fmt::format(
          "{}: '{}' is left out: it is an option of the whole server; give it on the command line", where,
          entry.key));
      continue;
    }
    if (!args.emplace(arg->name, arg->value).second) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("{}: '{}' gives '{}' again", where, entry.key, arg->name));
    }
  }
  return args;
}

}  // namespace

Result<IniPresets> load_ini_presets(const std::string& path) {
  const Result<std::string> text = read_text(path);
  if (!text) return std::unexpected(text.error());
  const Result<std::vector<IniSection>> sections = parse_ini(*text);
  if (!sections) {
    return fail(sections.error().code, fmt::format("{}:{}", path, sections.error().message));
  }
  IniPresets presets;
  for (const IniSection& section : *sections) {
    Result<ArgMap> args = section_args(path, section, presets.notes);
    if (!args) return std::unexpected(args.error());
    if (section.line == 0 && args->empty()) continue;  // only the file's version stands before the sections
    presets.sections.emplace(section.name, std::move(*args));
  }
  return presets;
}

}  // namespace switchyard::engine
