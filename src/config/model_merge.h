#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config_file.h"
#include "models/types.h"

namespace switchyard::config {

/// Options that hold for every model, one map per place. See build_catalog() for their order.
struct Layers {
  engine::ArgMap command_line;
  DefaultsSection yaml_defaults;
  engine::ArgMap ini_common;
  engine::ArgMap environment;
  std::optional<engine::Isolation> isolation = {};  ///< of models that do not say, over yaml_defaults
};

/// What is known of one model before it is merged.
struct ModelPlan {
  std::string id;
  std::string source;
  engine::ArgMap found = {};                   ///< by the models folder or the cache
  engine::ArgMap ini = {};                     ///< its section
  engine::ArgMap own = {};                     ///< of the one model of -m: names the file
  bool is_alone = false;                       ///< the one model of -m: its id may be among its names
  std::optional<ModelSection> section = {};    ///< files as absolute paths
  std::vector<std::string> folder_names = {};  ///< ids under which the models folder holds its files
};

/// A level's options that speak to every model: without the server's, the process's and those that
/// name one model's files.
[[nodiscard]] engine::ArgMap model_args(const engine::ArgMap& level);

/// The model as catalogued. Errors: kInvalidArgument for a model without a file, without a place.
[[nodiscard]] Result<models::ModelDefinition> build_model(const ModelPlan& plan, const Layers& layers);

/// One sentence when the version's file is not there; empty when it is.
[[nodiscard]] std::string missing_file(const engine::ModelSpec& spec);

/// llama.cpp's true: on, enabled, true, 1.
[[nodiscard]] bool is_true(const std::string& value);

}  // namespace switchyard::config
