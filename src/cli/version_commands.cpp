#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/version.h"
#include "engine/in_process.h"

namespace switchyard::cli {
namespace {

void version(Context& context) {
  const std::string llama = engine::llama_build_info();
  if (context.json) return context.print({{"version", kVersion}, {"llama_cpp", llama}});
  fmt::print("switchyard {}\nllama.cpp {}\n", kVersion, llama);
}

}  // namespace

void add_version_commands(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("version", "Print the versions of this program and of llama.cpp");
  add_json_option(*command, context);
  command->callback([&context] { version(context); });

  CLI::App* completion = app.add_subcommand("completion", "Print a shell's completion script");
  const auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  add_json_option(*completion, context);
  completion->callback([&app, &context, shell] {
    const std::string script = completion_script(app, *shell);
    if (context.json) return context.print({{"shell", *shell}, {"script", script}});
    fmt::print("{}", script);
  });
}

}  // namespace switchyard::cli
