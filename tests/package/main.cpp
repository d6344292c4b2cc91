// A project outside: finds the installed package, loads a model where it is given one, parks it and
// gets it back. The helper program is the installed one: nothing here says where it is.
#include <switchyard/model_manager.h>

#include <cstdio>

int main(int argc, char** argv) {
  auto manager = switchyard::ModelManager::create();
  if (!manager) return std::fprintf(stderr, "%s\n", manager.error().to_string().c_str()), 1;
  const auto missing = manager->add_model({.id = "missing", .file = "/nowhere.gguf"});
  if (missing || missing.error().code != switchyard::ErrorCode::kNotFound) return 2;
  if (argc < 2) return 0;

  if (!manager->add_model({.id = "m", .file = argv[1], .args = {{"ctx-size", "1024"}}})) return 3;
  if (!manager->load_model("m") || !manager->park("m") || !manager->resume("m")) return 4;
  auto lease = manager->acquire("m");
  if (!lease) return 5;
  auto text = lease->chat("Say yes.", {}, {.max_tokens = 16});
  if (!text || text->empty()) return 6;
  std::printf("%s\n", text->c_str());
  return manager->list().at(0).state == switchyard::ModelState::kHot ? 0 : 7;
}
