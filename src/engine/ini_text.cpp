#include "engine/ini_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace switchyard::engine {
namespace {

constexpr std::string_view kBlanks = " \t";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Cuts the first line off `text`; "\n", "\r\n" and "\r" end one.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find_first_of("\r\n");
  const std::string_view line = text.substr(0, end);
  if (end == std::string_view::npos) {
    text = {};
    return line;
  }
  const bool two = text[end] == '\r' && end + 1 < text.size() && text[end + 1] == '\n';
  text.remove_prefix(end + (two ? 2 : 1));
  return line;
}

bool is_identifier(std::string_view key) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
  return !key.empty() && letter(key.front()) && std::ranges::all_of(key, rest);
}

/// "repo:q4_k_m" -> "repo:Q4_K_M", as llama.cpp names such sections.
std::string canonical_section(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  std::string result(name);
  if (colon == std::string_view::npos) return result;
  const auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::string_view tag = name.substr(colon + 1);
  const std::size_t separator = tag.find_last_of("-.");
  if (separator != std::string_view::npos && separator + 1 < tag.size() &&
      std::ranges::all_of(tag.substr(separator + 1), word)) {
    tag = tag.substr(separator + 1);
  }
  result = std::string(name.substr(0, colon + 1)) + std::string(tag);
  std::transform(result.begin() + static_cast<std::ptrdiff_t>(colon), result.end(),
                 result.begin() + static_cast<std::ptrdiff_t>(colon),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

template <typename... Args>
std::unexpected<Error> at(int line, fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{}: {}", line, fmt::format(format, std::forward<Args>(args)...)));
}

Result<std::string> section_name(std::string_view line, int number) {
  const std::size_t end = line.find(']');
  if (end == std::string_view::npos) return at(number, "'[' without ']'");
  const std::string_view name = trim(line.substr(1, end - 1));
  const std::string_view after = trim(line.substr(end + 1));
  if (name.empty()) return at(number, "a section needs a name");
  if (!after.empty() && after.front() != ';' && after.front() != '#') {
    return at(number, "'{}' after the section's name", after);
  }
  return canonical_section(name);
}

Status add_entry(IniSection& section, std::string_view line, int number) {
  const std::size_t equals = line.find('=');
  const std::string_view key = trim(line.substr(0, equals));
  if (equals == std::string_view::npos || !is_identifier(key)) {
    return at(number, "'{}' is neither 'key = value' nor '[section]'", line);
  }
  const std::string_view raw = line.substr(equals + 1);
  const auto same = [&](const IniEntry& entry) { return entry.key == key; };
  if (std::ranges::any_of(section.entries, same)) {
    return at(number, "'{}' is given twice in section [{}]", key, section.name);
  }
  section.entries.push_back(
      {number, std::string(key), std::string(trim(raw.substr(0, raw.find_first_of(";#"))))});
  return {};
}

}  // namespace

Result<std::vector<IniSection>> parse_ini(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<IniSection> sections{{0, "default", {}}};
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = trim(take_line(text));
    if (line.empty() || line.front() == ';' || line.front() == '#') continue;
    if (line.front() != '[') {
      if (const Status added = add_entry(sections.back(), line, number); !added)
        return std::unexpected(added.error());
      continue;
    }
    Result<std::string> name = section_name(line, number);
    if (!name) return std::unexpected(name.error());
    const auto same = std::ranges::find(sections, *name, &IniSection::name);
    if (same != sections.end() && (same->line != 0 || !same->entries.empty())) {
      return at(number, "section [{}] is given twice (first in line {})", *name, same->line);
    }
    if (same != sections.end()) sections.erase(same);
    sections.push_back({number, std::move(*name), {}});
  }
  std::erase_if(sections, [](const IniSection& s) { return s.line == 0 && s.entries.empty(); });
  return sections;
}

}  // namespace switchyard::engine
