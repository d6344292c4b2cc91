#include <string_view>

#include "engine/in_process.h"

/// The helper process of the engine's own tests; `switchyard inspect-child` and `switchyard worker` do the
/// same.
int main(int argc, char** argv) {
  const bool works = argc > 1 && std::string_view(argv[1]) == "worker";
  return works ? switchyard::engine::run_worker() : switchyard::engine::run_inspect_child();
}
