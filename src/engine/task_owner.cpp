#include "engine/task_owner.h"

#include <utility>
#include <vector>

#include "server-queue.h"

using Tasks = std::vector<server_task>;

extern "C" {
void __real__ZN22server_response_reader9post_taskEO11server_taskb(server_response_reader*, server_task&&,
                                                                  bool);
void __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(server_response_reader*,
                                                                                      Tasks&&, bool);
}

namespace switchyard::engine {
namespace {

thread_local std::string current_owner;
thread_local std::string current_asker;

void mark(server_task& task) {
  owner_of(task) = current_owner;
  set_asker(task, current_asker);
  for (server_task& child : task.child_tasks) mark(child);
}

}  // namespace

TaskOwnerScope::TaskOwnerScope(std::string owner, std::string asker) {
  current_owner = std::move(owner);
  current_asker = std::move(asker);
}
TaskOwnerScope::~TaskOwnerScope() {
  current_owner.clear();
  current_asker.clear();
}

static void post(server_response_reader* reader, server_task&& task, bool front) {
  mark(task);
  __real__ZN22server_response_reader9post_taskEO11server_taskb(reader, std::move(task), front);
}

static void post(server_response_reader* reader, Tasks&& tasks, bool front) {
  for (server_task& task : tasks) mark(task);
  __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(reader, std::move(tasks),
                                                                                   front);
}

}  // namespace switchyard::engine

extern "C" void __wrap__ZN22server_response_reader9post_taskEO11server_taskb(server_response_reader* reader,
                                                                             server_task&& task, bool front) {
  switchyard::engine::post(reader, std::move(task), front);
}
extern "C" void __wrap__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(
    server_response_reader* reader, Tasks&& tasks, bool front) {
  switchyard::engine::post(reader, std::move(tasks), front);
}
