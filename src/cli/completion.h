#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace switchyard::cli {

/// The completion script of "bash", "zsh" or "fish" for the commands of `app`. Names of models come from a
/// running server, by the hidden command `model-names`.
[[nodiscard]] std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace switchyard::cli
