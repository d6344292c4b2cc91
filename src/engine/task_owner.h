#pragma once

#include <string>
#include <string_view>

#include "server-task.h"

// Whose a request is and who waits for it, on its way through llama.cpp's handler to the loop, which knows
// tasks only. Also compiled as part of llama.cpp's own server-context library
// (server_context_conversations.cpp): C++17.

namespace switchyard::engine {

/// The owner of what the server itself generates to see whether an engine does; no key is called so.
inline constexpr const char* kProbe = "\x01probe";

struct TokenTally;  // engine/api/token_tally.h

/// While it lives, tasks that this thread posts belong to `owner`, and `asker` waits for them.
class TaskOwnerScope {
 public:
  TaskOwnerScope(std::string owner, std::string asker);
  /// What this thread's tasks since the last scope began have asked for; generated: by the replies that were
  /// waited for to their end.
  [[nodiscard]] static const TokenTally& tally();
  ~TaskOwnerScope();
  TaskOwnerScope(const TaskOwnerScope&) = delete;
  TaskOwnerScope& operator=(const TaskOwnerScope&) = delete;
};

/// Whose a posted task is; empty for a task that was posted outside of a scope. It lies in a field of the
/// task that llama.cpp has for its command line and does not look at otherwise.
[[nodiscard]] inline std::string& owner_of(server_task& task) { return task.cli_prompt; }

/// Who waits for a posted task (Request::asker); kept in another such field.
[[nodiscard]] inline std::string_view asker_of(const server_task& task) {
  if (task.cli_files.empty()) return {};
  const raw_buffer& name = task.cli_files.front();
  return {reinterpret_cast<const char*>(name.data()), name.size()};
}
inline void set_asker(server_task& task, std::string_view asker) {
  task.cli_files.clear();
  if (!asker.empty()) task.cli_files.emplace_back(asker.begin(), asker.end());
}

}  // namespace switchyard::engine
