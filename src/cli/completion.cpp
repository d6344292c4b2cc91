#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <vector>

#include "engine/args.h"

namespace switchyard::cli {
namespace {

/// How many of a command's first words are names of models.
const std::map<std::string, int> kNames = {
    {"load", 1},          {"unload", 1},         {"park", 1},         {"resume", 1},
    {"pin", 1},           {"unpin", 1},          {"release", 1},      {"run", 1},
    {"switch", 2},        {"rollback", 1},       {"aliases", 1},      {"versions", 1},
    {"split", 1},         {"canary start", 2},   {"canary show", 1},  {"canary pause", 1},
    {"canary resume", 1}, {"canary promote", 1}, {"canary abort", 1}, {"shadow start", 1},
    {"shadow show", 1},   {"shadow stop", 1}};
/// Commands whose first word is a file.
const std::vector<std::string> kFiles = {"inspect", "config check"};

/// What may stand behind one command.
struct Words {
  std::string key;  ///< "load", "config check"
  std::string help;
  std::vector<std::string> options;
  std::vector<std::string> with_value;  ///< options whose next word is their value
  std::vector<std::string> choices;     ///< for the first word
  int names = 0;
  bool file = false;
};

void add_llama_options(Words& words) {
  for (const std::string& name : engine::option_names()) {
    if (name.starts_with("--")) words.options.push_back(name);
  }
}

Words words_of(const CLI::App& command, const std::string& key) {
  Words words;
  words.key = key;
  words.help = command.get_description();
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words.options.push_back("--" + name);
      if (option->get_items_expected_max() > 0) words.with_value.push_back("--" + name);
    }
    for (const std::string& name : option->get_snames()) {
      if (option->get_items_expected_max() > 0) words.with_value.push_back("-" + name);
    }
  }
  for (const CLI::App* sub : command.get_subcommands(nullptr)) words.choices.push_back(sub->get_name());
  if (key == "completion") words.choices = {"bash", "zsh", "fish"};
  if (key == "serve" || key == "doctor" || key == "inspect") add_llama_options(words);
  if (key == "serve") {
    for (const char* own :
         {"--config", "--memory-budget", "--data-dir", "--isolation", "--shutdown-timeout", "--default-model",
          "--admin-key-file", "--log-format", "--watch", "--json", "--help-all"}) {
      words.options.emplace_back(own);
    }
  }
  if (const auto names = kNames.find(key); names != kNames.end()) words.names = names->second;
  words.file = std::ranges::count(kFiles, key) > 0;
  return words;
}

std::vector<Words> all_words(const CLI::App& app) {
  std::vector<Words> all;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;  // hidden
    all.push_back(words_of(*command, command->get_name()));
    for (const CLI::App* sub : command->get_subcommands(nullptr)) {
      all.push_back(words_of(*sub, command->get_name() + " " + sub->get_name()));
    }
  }
  return all;
}

bool is_command(const Words& words) { return words.key.find(' ') == std::string::npos; }

std::string commands_of(const std::vector<Words>& all) {
  std::vector<std::string> names;
  for (const Words& words : all) {
    if (is_command(words)) names.push_back(words.key);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

/// Lines of a `case` that bash and zsh read alike.
std::string cases_of(const std::vector<Words>& all) {
  std::string cases;
  for (const Words& words : all) {
    cases += fmt::format("    \"{}\") options=\"{}\" takes=\" {} \" choices=\"{}\" names={} file={} ;;\n",
                         words.key, fmt::join(words.options, " "), fmt::join(words.with_value, " "),
                         fmt::join(words.choices, " "), words.names, words.file ? 1 : 0);
  }
  return cases;
}

// The line is cut into words here and not taken from COMP_WORDS, which bash cuts at ':', '=' and '@', too:
// all of them stand in names of models and in URLs.
constexpr std::string_view kBash = R"sh(_switchyard() {
  local line=${COMP_LINE:0:COMP_POINT} parts cur key i given=0 first=2
  local options="" takes="" choices="" names=0 file=0
  IFS=$' \t' read -a parts <<< "$line"
  [[ $line == *[[:space:]] && $line != *\\[[:space:]] ]] && parts+=("")
  cur=${parts[${#parts[@]}-1]}
  COMPREPLY=()
  if ((${#parts[@]} <= 2)); then
    COMPREPLY=($(compgen -W "@COMMANDS@" -- "$cur"))
    return
  fi
  key=${parts[1]}
  if [[ $key == config || $key == keys || $key == experiment || $key == canary || $key == shadow ]] && ((${#parts[@]} > 3)); then
    key="$key ${parts[2]}" first=3
  fi
  case $key in
@CASES@  esac
  for ((i = first; i < ${#parts[@]} - 1; i++)); do
    if [[ ${parts[i]} != -* ]]; then
      given=$((given + 1))
    elif [[ $takes == *" ${parts[i]} "* ]]; then
      i=$((i + 1))
    fi
  done
  if [[ $takes == *" ${parts[${#parts[@]}-2]} "* || ($file == 1 && $given == 0 && $cur != -*) ]]; then
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif ((given < names)); then
    local name before=${cur%"${cur##*[:=@]}"}
    while IFS= read -r name; do
      [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "${name#"$before"}")")
    done < <(switchyard model-names 2>/dev/null)
  elif [[ -n $choices ]] && ((given == 0)); then
    COMPREPLY=($(compgen -W "$choices" -- "$cur"))
  elif [[ $key == serve || $key == doctor || $key == inspect ]]; then
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -F _switchyard switchyard
)sh";

constexpr std::string_view kZsh = R"sh(#compdef switchyard
_switchyard() {
  local cur=${(Q)words[CURRENT]} key=${words[2]} options="" takes="" choices="" names=0 file=0
  local -i i given=0 first=3
  if ((CURRENT == 2)); then
    compadd -- ${=:-@COMMANDS@}
    return
  fi
  if [[ $key == config || $key == keys || $key == experiment || $key == canary || $key == shadow ]] && ((CURRENT > 3)); then
    key="$key ${words[3]}" first=4
  fi
  case $key in
@CASES@  esac
  for ((i = first; i < CURRENT; i++)); do
    if [[ ${words[i]} != -* ]]; then
      ((given += 1))
    elif [[ $takes == *" ${words[i]} "* ]]; then
      ((i += 1))
    fi
  done
  if [[ $takes == *" ${words[CURRENT-1]} "* || ($file == 1 && $given == 0 && $cur != -*) ]]; then
    _files
  elif [[ $cur == -* ]]; then
    compadd -- ${=options}
  elif ((given < names)); then
    compadd -- ${(f)"$(switchyard model-names 2>/dev/null)"}
  elif [[ -n $choices ]] && ((given == 0)); then
    compadd -- ${=choices}
  elif [[ $key == serve || $key == doctor || $key == inspect ]]; then
    _files
  fi
}
if [[ $funcstack[1] == _switchyard ]]; then
  _switchyard "$@"
else
  compdef _switchyard switchyard
fi
)sh";

std::string filled(std::string_view text, const std::vector<Words>& all) {
  std::string script(text);
  const auto replace = [&](std::string_view mark, const std::string& by) {
    script.replace(script.find(mark), mark.size(), by);
  };
  replace("@COMMANDS@", commands_of(all));
  replace("@CASES@", cases_of(all));
  return script;
}

std::string fish_script(const std::vector<Words>& all) {
  // How many words that are no options stand before the cursor, the program's own and the command's included.
  std::string out =
      "function __switchyard_words\n"
      "  count (string match -v -- '-*' (commandline -opc))\n"
      "end\n"
      "complete -c switchyard -f\n";
  for (const Words& words : all) {
    std::string help = words.help;
    std::erase(help, '\'');
    const std::size_t depth = is_command(words) ? 2 : 3;
    if (is_command(words)) {
      out += fmt::format("complete -c switchyard -n __fish_use_subcommand -a {} -d '{}'\n", words.key, help);
    }
    const std::string last = words.key.substr(words.key.rfind(' ') + 1);
    const std::string seen = fmt::format("__fish_seen_subcommand_from {}", last);
    for (const std::string& option : words.options) {
      const bool takes = std::ranges::count(words.with_value, option) > 0;
      if (option.starts_with("--")) {
        out += fmt::format("complete -c switchyard -n '{}' -l {}{}\n", seen, option.substr(2),
                           takes ? " -r -F" : "");
      }
    }
    const auto at_word = [&](std::size_t below) {
      return fmt::format("complete -c switchyard -n '{}; and test (__switchyard_words) -lt {}'", seen, below);
    };
    if (!words.choices.empty())
      out += fmt::format("{} -a '{}'\n", at_word(depth + 1), fmt::join(words.choices, " "));
    if (words.names > 0) {
      out += fmt::format("{} -a '(switchyard model-names 2>/dev/null)'\n",
                         at_word(depth + static_cast<std::size_t>(words.names)));
    }
    if (words.file) out += at_word(depth + 1) + " -F\n";
    if (words.key == "serve" || words.key == "doctor")
      out += fmt::format("complete -c switchyard -n '{}' -F\n", seen);
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  const std::vector<Words> all = all_words(app);
  if (shell == "fish") return fish_script(all);
  return filled(shell == "zsh" ? kZsh : kBash, all);
}

}  // namespace switchyard::cli
