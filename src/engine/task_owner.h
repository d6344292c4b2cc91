#pragma once

#include <string>

#include "server-task.h"

// Whose a request is, on its way through llama.cpp's handler to the loop, which knows tasks only. Also
// compiled as part of llama.cpp's own server-context library (server_context_conversations.cpp): C++17.

namespace switchyard::engine {

/// While it lives, tasks that this thread posts belong to `owner`.
class TaskOwnerScope {
 public:
  explicit TaskOwnerScope(std::string owner);
  ~TaskOwnerScope();
  TaskOwnerScope(const TaskOwnerScope&) = delete;
  TaskOwnerScope& operator=(const TaskOwnerScope&) = delete;
};

/// Whose a posted task is; empty for a task that was posted outside of a scope. It lies in a field of the
/// task that llama.cpp has for its command line and does not look at otherwise.
[[nodiscard]] inline std::string& owner_of(server_task& task) { return task.cli_prompt; }

}  // namespace switchyard::engine
