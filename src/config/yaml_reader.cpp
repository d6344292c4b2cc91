#include "config/yaml_reader.h"

#include <charconv>
#include <cmath>

#include "config/config_file.h"
#include "config/duration.h"
#include "config/file_options.h"
#include "engine/args.h"

namespace switchyard::config {

void YamlReader::report_at(int line, std::string_view what) {
  problems_.push_back(fmt::format("{}:{}: {}", path_, line, what));
}

const std::string* YamlReader::scalar(const YAML::Node& node) {
  if (node.IsNull()) return nullptr;
  if (node.IsScalar()) return &node.Scalar();
  report(node, node.IsMap() ? "a single value is needed here, not a mapping"
                            : "a single value is needed here, not a list");
  return nullptr;
}

void YamlReader::read(const YAML::Node& node, std::string& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  if (text->empty()) return report(node, "an empty text is given");
  out = *text;
}

void YamlReader::read(const YAML::Node& node, std::optional<std::string>& out) {
  std::string text;
  read(node, text);
  if (!text.empty()) out = text;
}

void YamlReader::read(const YAML::Node& node, std::vector<std::string>& out) {
  if (node.IsScalar()) {
    out.emplace_back();
    return read(node, out.back());
  }
  sequence(node, "this", [&](const YAML::Node& item) {
    std::string text;
    read(item, text);
    if (item.IsNull()) report(item, "an item is empty");
    if (!text.empty()) out.push_back(text);
  });
}

void YamlReader::read(const YAML::Node& node, std::optional<std::vector<std::string>>& out) {
  if (node.IsNull()) return;
  out.emplace();
  read(node, *out);
}

void YamlReader::read(const YAML::Node& node, std::optional<bool>& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  bool value = false;
  if (!YAML::convert<bool>::decode(node, value))
    return report(node, fmt::format("'{}' is not true or false", *text));
  out = value;
}

void YamlReader::read(const YAML::Node& node, std::optional<double>& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || !std::isfinite(value) || value <= 0) {
    return report(node, fmt::format("'{}' is not a number above 0", *text));
  }
  out = value;
}

void YamlReader::read(const YAML::Node& node, std::optional<std::uint32_t>& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) {
    return report(node, fmt::format("'{}' is not a whole number from 0 up", *text));
  }
  out = value;
}

void YamlReader::read(const YAML::Node& node, std::optional<Duration>& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  const Result<Duration> duration = parse_duration(*text);
  if (!duration) return report(node, duration.error().message);
  out = *duration;
}

void YamlReader::read(const YAML::Node& node, std::optional<ByteSize>& out) {
  std::optional<ByteSize> size;
  read_from_zero(node, size);
  if (size == ByteSize()) return report(node, "the size must be above 0");
  if (size) out = size;
}

void YamlReader::read_from_zero(const YAML::Node& node, std::optional<ByteSize>& out) {
  const std::string* text = scalar(node);
  if (text == nullptr) return;
  const Result<ByteSize> size = ByteSize::parse(*text);
  if (!size) return report(node, size.error().message);
  out = *size;
}

void YamlReader::read(const YAML::Node& node, std::map<std::string, ByteSize>& out) {
  mapping(node, "device budgets", [&](const std::string& key, const YAML::Node&, const YAML::Node& value) {
    std::optional<ByteSize> size;
    read(value, size);
    if (size) out[key] = *size;
  });
}

std::string YamlReader::arg_text(const YAML::Node& node) {
  if (node.IsScalar()) return node.Scalar();
  std::vector<std::string> items;
  read(node, items);
  return fmt::format("{}", fmt::join(items, ","));
}

void YamlReader::read(const YAML::Node& node, engine::ArgMap& out) {
  mapping(node, "args", [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
    if (value.IsNull()) return report(key_node, "an option needs a value; a flag is true or false");
    std::string text = arg_text(value);
    if (is_file_option(key)) {
      text = replace_files(text, [&](const std::string& file) { return beside(path_, file); });
    }
    const Result<engine::CanonicalArg> arg = engine::canonical_arg(key, text);
    if (!arg) return report(key_node, arg.error().to_string());
    if (arg->scope != engine::ArgScope::kModel) {
      return report(key_node, fmt::format("'{}' is an option of the whole server, not of a model; give it "
                                          "under 'server' or on the command line",
                                          key));
    }
    if (arg->name == "model") return report(key_node, "give the model's file as 'file', not in args");
    if (!out.emplace(arg->name, arg->value).second) {
      report(key_node, fmt::format("'{}' gives '{}' again", key, arg->name));
    }
  });
}

}  // namespace switchyard::config
