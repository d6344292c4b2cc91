#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/nearest.h"
#include "engine/api/engine.h"
#include "switchyard/byte_size.h"

namespace switchyard::config {

/// Collects what is wrong in one YAML file and turns nodes into values. A value that cannot be read
/// is reported and left as it was; null leaves it too. One thread.
class YamlReader {
 public:
  explicit YamlReader(std::string path) : path_(std::move(path)) {}

  void report(const YAML::Node& node, std::string_view what) { report_at(line_of(node), what); }
  void report_at(int line, std::string_view what);
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] static int line_of(const YAML::Node& node) { return node.Mark().line + 1; }

  void read(const YAML::Node& node, std::string& out);
  void read(const YAML::Node& node, std::vector<std::string>& out);
  void read(const YAML::Node& node, std::optional<std::string>& out);
  void read(const YAML::Node& node, std::optional<std::vector<std::string>>& out);
  void read(const YAML::Node& node, std::optional<bool>& out);
  void read(const YAML::Node& node, std::optional<double>& out);
  void read(const YAML::Node& node, std::optional<std::uint32_t>& out);
  void read(const YAML::Node& node, std::optional<Duration>& out);
  void read(const YAML::Node& node, std::optional<ByteSize>& out);
  /// The same, but 0 is a size too: "none of it".
  void read_from_zero(const YAML::Node& node, std::optional<ByteSize>& out);
  /// A text that `parse` makes a value of; its error is reported.
  template <typename T>
  void read(const YAML::Node& node, std::optional<T>& out, Result<T> (*parse)(std::string_view)) {
    const std::string* text = scalar(node);
    if (text == nullptr) return;
    Result<T> value = parse(*text);
    if (!value) return report(node, value.error().message);
    out = std::move(*value);
  }
  void read(const YAML::Node& node, std::map<std::string, ByteSize>& out);
  /// llama-server's options of one model, checked and canonical; lists become comma-separated.
  void read(const YAML::Node& node, engine::ArgMap& out);

  /// Calls `each(key, key_node, value_node)` for the entries of a mapping, each key once.
  template <typename Each>
  void mapping(const YAML::Node& node, std::string_view where, Each each) {
    if (node.IsNull()) return;
    if (!node.IsMap()) return report(node, fmt::format("{} must be a mapping of keys to values", where));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        report(entry.first, fmt::format("a key of {} must be a plain word", where));
      } else if (!seen.insert(entry.first.Scalar()).second) {
        report(entry.first, fmt::format("'{}' is given twice", entry.first.Scalar()));
      } else {
        each(entry.first.Scalar(), entry.first, entry.second);
      }
    }
  }

  template <typename Each>
  void sequence(const YAML::Node& node, std::string_view where, Each each) {
    if (node.IsNull()) return;
    if (!node.IsSequence()) return report(node, fmt::format("{} must be a list", where));
    for (const YAML::Node& item : node) each(item);
  }

 private:
  /// The text of a scalar; reports anything else. Null gives nothing and no report.
  const std::string* scalar(const YAML::Node& node);
  std::string arg_text(const YAML::Node& node);

  std::string path_;
  std::vector<std::string> problems_;
};

}  // namespace switchyard::config
