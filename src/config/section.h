#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "config/config_file.h"
#include "config/yaml_reader.h"

// How sections of the YAML file are described and read. For the files that define sections only.

namespace switchyard::config {

/// One key of a section: how it is read and what the documentation says of it.
template <typename Section>
struct Key {
  std::string_view name;
  std::string_view type;
  std::string_view fallback;
  std::string_view meaning;
  void (*read)(YamlReader&, const YAML::Node&, Section&);
};

template <typename Section>
void read_section(YamlReader& reader, const YAML::Node& node, std::string_view where, Section& section,
                  std::type_identity_t<std::span<const Key<Section>>> keys) {
  reader.mapping(
      node, where, [&](const std::string& name, const YAML::Node& key_node, const YAML::Node& value) {
        const auto key = std::ranges::find(keys, name, &Key<Section>::name);
        if (key != keys.end()) return key->read(reader, value, section);
        std::vector<std::string> names;
        for (const auto& known : keys) names.emplace_back(known.name);
        reader.report(key_node,
                      fmt::format("unknown key '{}' in {}{}", name, where, did_you_mean(name, names)));
      });
}

/// How a key is read into a member of its section.
#define SWITCHYARD_READ(member) \
  [](YamlReader& reader, const YAML::Node& node, auto& section) { reader.read(node, section.member); }

template <typename Section>
void document(std::vector<DocumentedKey>& out, std::string_view section, std::span<const Key<Section>> keys) {
  for (const auto& key : keys) out.push_back({section, key.name, key.type, key.fallback, key.meaning});
}

}  // namespace switchyard::config
