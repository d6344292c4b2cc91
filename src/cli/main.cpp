#include <string>
#include <vector>

#include "base/free_memory.h"
#include "cli/program.h"

int main(int argc, char** argv) {
  switchyard::share_heaps();
  return switchyard::cli::run_program(std::vector<std::string>(argv + 1, argv + argc));
}
