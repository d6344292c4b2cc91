#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "cli/commands.h"
#include "cli/version.h"
#include "engine/args.h"
#include "engine/in_process.h"

namespace switchyard::cli {
namespace {

void version(Context& context) {
  const std::string llama = engine::llama_build_info();
  if (context.json) return context.print({{"version", kVersion}, {"llama_cpp", llama}});
  fmt::print("switchyard {}\nllama.cpp {}\n", kVersion, llama);
}

std::vector<std::string> long_options(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// Words that may follow a command.
std::vector<std::string> words_of(const CLI::App& command) {
  std::vector<std::string> words = long_options(command);
  for (const CLI::App* sub : command.get_subcommands(nullptr)) words.push_back(sub->get_name());
  if (command.get_name() == "serve" || command.get_name() == "doctor") {
    for (const std::string& name : engine::option_names()) {
      if (name.starts_with("--")) words.push_back(name);
    }
  }
  if (command.get_name() == "serve") {
    for (const char* own :
         {"--config", "--memory-budget", "--data-dir", "--shutdown-timeout", "--default-model"}) {
      words.emplace_back(own);
    }
  }
  return words;
}

// Commands whose next word is a model: the shell asks a running server for the names.
constexpr std::string_view kModelCommands =
    "load unload park resume pin unpin run switch rollback aliases versions";

std::string bash_script(const CLI::App& app) {
  std::string cases, commands;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;
    commands += command->get_name() + " ";
    cases +=
        fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), fmt::join(words_of(*command), " "));
  }
  return fmt::format(R"(_switchyard() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=""
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{}" -- "$cur"))
    return
  fi
  case $command in
{}  esac
  if [[ $cur != -* && " {} " == *" $command "* ]]; then
    words=$(switchyard ls 2>/dev/null | awk 'NR > 1 && NF > 1 {{ print $1 }} /^$/ {{ exit }}')
  elif [[ $cur != -* && $command != config && $command != completion ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o filenames -F _switchyard switchyard
)",
                     commands, cases, kModelCommands);
}

std::string zsh_script(const CLI::App& app) {
  return "#compdef switchyard\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(app);
}

std::string fish_script(const CLI::App& app) {
  std::string out = "complete -c switchyard -f\n";
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;
    std::string help = command->get_description();
    std::erase(help, '\'');
    out += fmt::format("complete -c switchyard -n __fish_use_subcommand -a {} -d '{}'\n", command->get_name(),
                       help);
    const std::string seen = fmt::format("'__fish_seen_subcommand_from {}'", command->get_name());
    for (const std::string& word : words_of(*command)) {
      if (word.starts_with("--"))
        out += fmt::format("complete -c switchyard -n {} -l {}\n", seen, word.substr(2));
      else
        out += fmt::format("complete -c switchyard -n {} -a {}\n", seen, word);
    }
  }
  out += "complete -c switchyard -n '__fish_seen_subcommand_from " + std::string(kModelCommands) +
         "' -a '(switchyard ls 2>/dev/null | awk \"NR > 1 && NF > 1 { print \\$1 }\")'\n";
  out += "complete -c switchyard -n '__fish_seen_subcommand_from inspect config serve' -F\n";
  return out;
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
  completion->callback([&app, shell] {
    fmt::print("{}", *shell == "bash"  ? bash_script(app)
                     : *shell == "zsh" ? zsh_script(app)
                                       : fish_script(app));
  });
}

}  // namespace switchyard::cli
