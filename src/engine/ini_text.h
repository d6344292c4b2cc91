#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switchyard/result.h"

namespace switchyard::engine {

struct IniEntry {
  int line = 0;
  std::string key;
  std::string value;
};
struct IniSection {
  int line = 0;
  std::string name;
  std::vector<IniEntry> entries;
};

/// Reads the INI dialect of llama.cpp's presets, keeping line numbers, which llama.cpp's own reader
/// drops: `key = value`, `[section]`, a value ends at ';' or '#'. Keys before any section belong to
/// "default". Unlike there, lines may be indented, and a section or key given twice is an error.
/// Errors: kInvalidArgument, the message beginning with the line number and a colon.
[[nodiscard]] Result<std::vector<IniSection>> parse_ini(std::string_view text);

}  // namespace switchyard::engine
