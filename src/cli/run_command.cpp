#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "base/printable.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/load_progress.h"
#include "cli/terminal.h"

namespace switchyard::cli {
namespace {

// Ctrl-C: set by the signal, looked at between two pieces of a reply.
std::atomic<bool> interrupted = false;

struct RunOptions {
  std::string model;
  std::vector<std::string> prompt;
  std::string system;
  std::optional<int> max_tokens;
  std::optional<double> temperature;
  bool verbose = false;
};

/// Ctrl-C stops the reply instead of the program, and ends a read of the keyboard.
class InterruptScope {
 public:
  InterruptScope() {
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = true; };
    ::sigaction(SIGINT, &action, &before_);
  }
  ~InterruptScope() { ::sigaction(SIGINT, &before_, nullptr); }
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  struct sigaction before_ = {};
};

class Conversation {
 public:
  Conversation(Context& context, const RunOptions& options)
      : context_(context), options_(options), client_(context.server), messages_(Json::array()) {
    if (!options.system.empty()) messages_.push_back({{"role", "system"}, {"content", options.system}});
  }

  /// Asks, prints the answer as it comes, remembers both. False after an error, which has been reported.
  bool ask(const std::string& prompt) {
    messages_.push_back({{"role", "user"}, {"content", prompt}});
    Json request = {{"model", options_.model}, {"messages", messages_}};
    if (options_.max_tokens) request["max_tokens"] = *options_.max_tokens;
    if (options_.temperature) request["temperature"] = *options_.temperature;
    interrupted = false;
    auto progress = std::make_unique<LoadProgress>(context_.server, options_.model);
    bool was_thinking = false;
    const Result<ChatReply> reply =
        stream_chat(client_, std::move(request), interrupted, [&](const std::string& piece, bool thinking) {
          progress.reset();  // clears its line before the first piece is printed
          if (context_.json) return;
          if (thinking != was_thinking && stdout_is_terminal())
            fmt::print("{}", thinking ? "\033[2m" : "\033[0m\n");
          was_thinking = thinking;
          if (stdout_is_terminal())
            fmt::print("{}", printable(piece));
          else if (!thinking)
            fmt::print("{}", piece);
          std::fflush(stdout);
        });
    progress.reset();
    if (was_thinking && stdout_is_terminal()) fmt::print("\033[0m");
    if (!reply) {
      messages_.erase(messages_.size() - 1);
      context_.report(reply.error());
      return false;
    }
    messages_.push_back({{"role", "assistant"}, {"content", reply->text}});
    finish(*reply);
    return true;
  }

  void clear() {
    messages_ = Json::array();
    if (!options_.system.empty()) messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

 private:
  void finish(const ChatReply& reply) {
    if (context_.json) {
      return context_.print({{"model", options_.model},
                             {"content", reply.text},
                             {"finish_reason", reply.stopped ? Json("stopped") : Json(reply.finish_reason)},
                             {"timings", reply.timings}});
    }
    fmt::print("\n");
    std::fflush(stdout);
    if (options_.verbose && reply.timings.is_object()) {
      fmt::print(stderr, "{} tokens, {:.1f} tokens/s, prompt {} tokens in {:.0f} ms\n",
                 reply.timings.value("predicted_n", 0), reply.timings.value("predicted_per_second", 0.0),
                 reply.timings.value("prompt_n", 0), reply.timings.value("prompt_ms", 0.0));
    }
  }

  Context& context_;
  const RunOptions& options_;
  Client client_;
  Json messages_;
};

/// Ctrl-C waits meanwhile, so that none is lost between a prompt and the wait for its line.
class HeldInterrupts {
 public:
  HeldInterrupts() {
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &interrupt, &before_);
  }
  ~HeldInterrupts() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldInterrupts(const HeldInterrupts&) = delete;
  HeldInterrupts& operator=(const HeldInterrupts&) = delete;

  /// Lets it through while it waits for the keyboard. False when it came.
  [[nodiscard]] bool wait_for_keyboard() const {
    struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    return ::ppoll(&keyboard, 1, nullptr, &before_) >= 0;
  }

 private:
  sigset_t before_ = {};
};

/// Lines from the keyboard. Reads the descriptor itself: std::cin tries again after a signal.
class Keyboard {
 public:
  /// The next line; none at the end (Ctrl-D) and after Ctrl-C twice in a row, which has been said. Ctrl-C
  /// throws away what stands in the line, as the terminal itself does.
  std::optional<std::string> next_line() {
    const HeldInterrupts held;
    for (int interrupts = 0; interrupts < 2;) {
      interrupted = false;
      fmt::print(stderr, "> ");
      std::fflush(stderr);
      if (auto line = read_line(held)) return line;
      if (!interrupted) {
        fmt::print(stderr, "\n");
        return std::nullopt;
      }
      if (++interrupts == 1) fmt::print(stderr, "\nCtrl-C once more, or Ctrl-D, leaves.\n");
    }
    fmt::print(stderr, "\nInterrupted twice: the conversation is over.\n");
    return std::nullopt;
  }

 private:
  std::optional<std::string> read_line(const HeldInterrupts& held) {
    for (;;) {
      if (const std::size_t end = typed_.find('\n'); end != std::string::npos) {
        std::string line = typed_.substr(0, end);
        typed_.erase(0, end + 1);
        return line;
      }
      std::array<char, 4096> more;
      const ssize_t count =
          held.wait_for_keyboard() ? ::read(STDIN_FILENO, more.data(), more.size()) : ssize_t{0};
      if (count <= 0) {
        typed_.clear();
        return std::nullopt;
      }
      typed_.append(more.data(), static_cast<std::size_t>(count));
    }
  }

  std::string typed_;
};

void chat_at_the_terminal(Conversation& conversation, const std::string& model) {
  fmt::print(stderr, "Chatting with {}. Ctrl-C stops a reply; /clear begins anew; /exit or Ctrl-D leaves.\n",
             model);
  Keyboard keyboard;
  while (const auto line = keyboard.next_line()) {
    if (*line == "/exit" || *line == "/quit" || *line == "/bye") return;
    if (*line == "/clear")
      conversation.clear();
    else if (line->starts_with('/'))
      fmt::print(stderr, "There is /clear and /exit.\n");
    else if (line->find_first_not_of(" \t") != std::string::npos)
      conversation.ask(*line);
  }
}

void run(Context& context, const RunOptions& options) {
  if (options.model.empty()) {
    context.report({ErrorCode::kInvalidArgument, "a model's name is needed, and the one given is empty"});
    context.status = 2;
    return;
  }
  const InterruptScope scope;
  Conversation conversation(context, options);
  if (!options.prompt.empty()) {
    conversation.ask(fmt::format("{}", fmt::join(options.prompt, " ")));
  } else if (!stdin_is_terminal()) {
    const std::string prompt{std::istreambuf_iterator<char>(std::cin), {}};
    if (prompt.find_first_not_of(" \t\r\n") == std::string::npos) {
      context.report(
          {ErrorCode::kInvalidArgument, "there is no prompt: give one as an argument or on standard input"});
      context.status = 2;
      return;
    }
    conversation.ask(prompt);
  } else {
    chat_at_the_terminal(conversation, options.model);
  }
  if (interrupted && context.status == 0 && !options.prompt.empty()) context.status = 130;
}

}  // namespace

void add_run_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("run", "Chat with a model of a running server");
  const auto options = std::make_shared<RunOptions>();
  command->add_option("model", options->model, "Name, alias or model@version")->required();
  command->add_option("prompt", options->prompt, "What to ask; without it, standard input or a conversation");
  command->add_option("--system", options->system, "System message");
  command->add_option("-n,--max-tokens", options->max_tokens, "Longest reply");
  command->add_option("--temperature", options->temperature, "0 for the same reply each time");
  command->add_flag("--verbose", options->verbose, "Say how fast it was");
  add_server_options(*command, context);
  command->callback([&context, options] { run(context, *options); });
}

}  // namespace switchyard::cli
