#pragma once

#include <string>
#include <vector>

namespace switchyard::cli {

/// The whole program from its words (without its own name) to its exit status: 0 done, 1 failed, 2
/// asked for wrongly.
int run_program(std::vector<std::string> words);

}  // namespace switchyard::cli
