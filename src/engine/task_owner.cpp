#include "engine/task_owner.h"

#include <functional>
#include <utility>
#include <vector>

#include "engine/api/token_tally.h"
#include "server-queue.h"

using Tasks = std::vector<server_task>;

extern "C" {
void __real__ZN22server_response_reader9post_taskEO11server_taskb(server_response_reader*, server_task&&,
                                                                  bool);
void __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(server_response_reader*,
                                                                                      Tasks&&, bool);
server_response_reader::batch_response __real__ZN22server_response_reader12wait_for_allERKSt8functionIFbvEE(
    server_response_reader*, const std::function<bool()>&);
}

namespace switchyard::engine {
namespace {

thread_local std::string current_owner;
thread_local std::string current_asker;
thread_local TokenTally current_tally;

void count(const server_task& task) {
  switch (task.type) {
    case SERVER_TASK_TYPE_COMPLETION:
    case SERVER_TASK_TYPE_INFILL:
    case SERVER_TASK_TYPE_EMBEDDING:
    case SERVER_TASK_TYPE_RERANK:
      current_tally.replies += 1 + task.child_tasks.size();
      current_tally.prompt += task.tokens.size();
      break;
    default: break;
  }
}

void mark(server_task& task) {
  owner_of(task) = current_owner;
  set_asker(task, current_asker);
  for (server_task& child : task.child_tasks) mark(child);
}

}  // namespace

TaskOwnerScope::TaskOwnerScope(std::string owner, std::string asker) {
  current_owner = std::move(owner);
  current_asker = std::move(asker);
  current_tally = {};
}
TaskOwnerScope::~TaskOwnerScope() {
  current_owner.clear();
  current_asker.clear();
}

const TokenTally& TaskOwnerScope::tally() { return current_tally; }

static void post(server_response_reader* reader, server_task&& task, bool front) {
  count(task);
  mark(task);
  __real__ZN22server_response_reader9post_taskEO11server_taskb(reader, std::move(task), front);
}

static void post(server_response_reader* reader, Tasks&& tasks, bool front) {
  for (server_task& task : tasks) {
    count(task);
    mark(task);
  }
  __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(reader, std::move(tasks),
                                                                                   front);
}

static server_response_reader::batch_response wait_for_all(server_response_reader* reader,
                                                           const std::function<bool()>& should_stop) {
  auto all = __real__ZN22server_response_reader12wait_for_allERKSt8functionIFbvEE(reader, should_stop);
  for (const server_task_result_ptr& result : all.results) {
    const auto* reply = dynamic_cast<const server_task_result_cmpl_final*>(result.get());
    if (reply == nullptr || reply->n_decoded <= 0) continue;
    current_tally.generated =
        current_tally.generated.value_or(0) + static_cast<std::uint64_t>(reply->n_decoded);
  }
  return all;
}

}  // namespace switchyard::engine

extern "C" server_response_reader::batch_response
__wrap__ZN22server_response_reader12wait_for_allERKSt8functionIFbvEE(
    server_response_reader* reader, const std::function<bool()>& should_stop) {
  return switchyard::engine::wait_for_all(reader, should_stop);
}
extern "C" void __wrap__ZN22server_response_reader9post_taskEO11server_taskb(server_response_reader* reader,
                                                                             server_task&& task, bool front) {
  switchyard::engine::post(reader, std::move(task), front);
}
extern "C" void __wrap__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(
    server_response_reader* reader, Tasks&& tasks, bool front) {
  switchyard::engine::post(reader, std::move(tasks), front);
}
