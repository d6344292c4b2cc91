#include <string>
#include <vector>

#include "cli/serve.h"
#include "engine/in_process.h"

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "inspect-child") return switchyard::engine::run_inspect_child();
  if (!words.empty() && words[0] == "serve") return switchyard::cli::run_serve(std::span(words).subspan(1));
  return 2;
}
