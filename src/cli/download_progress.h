#pragma once

#include <string>

#include "switchyard/result.h"

namespace switchyard::cli {

/// Fetches a model into llama.cpp's cache and shows on standard error how far it is: a bar on a
/// terminal, a line for every tenth elsewhere. Blocks. Errors as engine::download_model.
[[nodiscard]] Status download_with_progress(const std::string& repo, const std::string& token,
                                            const std::string& file = {});

}  // namespace switchyard::cli
