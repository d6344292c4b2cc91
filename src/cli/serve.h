#pragma once

#include <span>
#include <string>

namespace switchyard::cli {

/// `switchyard serve ...` from its first word to its exit status.
int run_serve(std::span<const std::string> words);

}  // namespace switchyard::cli
