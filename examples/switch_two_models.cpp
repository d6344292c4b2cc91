// Loads two models, lets an alias mean the first and then the second, and asks it a question each time.
//   switch_two_models FIRST.gguf SECOND.gguf
#include <cstdio>
#include <string>

#include "switchyard/model_manager.h"

using switchyard::Error;
using switchyard::LoadProgress;
using switchyard::ModelManager;
using switchyard::SwitchOptions;

static int failed(const Error& error) {
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FIRST.gguf SECOND.gguf\n", argv[0]);
    return 2;
  }
  auto manager = ModelManager::create({.models_max = 2});
  if (!manager) return failed(manager.error());
  for (const auto& [id, file] : {std::pair{"first", argv[1]}, std::pair{"second", argv[2]}}) {
    if (auto added = manager->add_model({.id = id, .file = file, .args = {{"ctx-size", "2048"}}}); !added) {
      return failed(added.error());
    }
  }
  SwitchOptions options;
  options.on_progress = [](const LoadProgress& progress) {
    std::fprintf(stderr, "\r%s %3.0f %% ", progress.stage.c_str(), progress.value * 100);
  };
  for (const std::string name : {"first", "second"}) {
    if (auto switched = manager->switch_model("chat", name, options); !switched)
      return failed(switched.error());
    auto lease = manager->acquire("chat");
    if (!lease) return failed(lease.error());
    std::printf("\n[%s] ", lease->model().c_str());
    const auto print = [](std::string_view text) {
      std::printf("%.*s", static_cast<int>(text.size()), text.data());
      std::fflush(stdout);
    };
    auto reply = lease->chat("What is the capital of France?", print, {.max_tokens = 32, .temperature = 0.0});
    if (!reply) return failed(reply.error());
    std::printf("\n");
  }
}
