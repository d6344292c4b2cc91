#pragma once

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "engine/prompts_first.h"
#include "engine/server_context_members.h"
#include "engine/task_owner.h"

// A part of server_context_conversations.cpp, which includes llama.cpp's server-context.cpp before it.

namespace switchyard::engine {

/// One round of the loop after the other.
class SlotRounds {
 public:
  SlotRounds(server_context_impl& context, PromptsFirst& prompts_first)
      : context_(context),
        slots_(context.*member(Slots{})),
        batch_(context.*member(Batch{})),
        mixes_((context.*member(Params{})).cont_batching),
        prompts_first_(prompts_first) {}

  void next() {
    const bool is_plain =
        mixes_ && std::none_of(slots_.begin(), slots_.end(), [](const server_slot& slot) {
          return slot.is_processing() && (slot.can_speculate() || slot.task->tokens.has_mtmd);
        });
    if (is_plain) sit_out();
    const auto replies = static_cast<std::size_t>(std::count_if(slots_.begin(), slots_.end(), is_at_reply));
    const auto began = std::chrono::steady_clock::now();
    (context_.*member(UpdateSlots{}))();
    const auto tokens = static_cast<std::size_t>(batch_.size());
    if (is_plain && !is_idle() && tokens >= replies) {
      prompts_first_.learn({replies, tokens - replies}, std::chrono::steady_clock::now() - began);
    }
    for (const auto& [slot, state] : sitting_out_) {
      if (slot->state == SLOT_STATE_WAIT_OTHER) slot->state = state;  // else all have ended, by an error
    }
    sitting_out_.clear();
  }

  [[nodiscard]] bool is_idle() const {
    return std::none_of(slots_.begin(), slots_.end(),
                        [](const server_slot& slot) { return slot.is_processing(); });
  }

 private:
  /// A slot in this state, which llama.cpp has for replies that share a prompt, has no part in a round.
  void sit_out() {
    work_.clear();
    for (const server_slot& slot : slots_) work_.push_back(work_of(slot));
    const std::vector<bool> sits_out = prompts_first_.choose(work_);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (!sits_out[i]) continue;
      sitting_out_.emplace_back(&slots_[i], slots_[i].state);
      slots_[i].state = SLOT_STATE_WAIT_OTHER;
    }
  }

  static bool is_at_prompt(const server_slot& slot) {
    return slot.state == SLOT_STATE_STARTED || slot.state == SLOT_STATE_PROCESSING_PROMPT;
  }

  static bool is_at_reply(const server_slot& slot) { return slot.state == SLOT_STATE_GENERATING; }

  static SlotWork work_of(const server_slot& slot) {
    if (is_at_reply(slot)) return {SlotWork::At::kReply, asker_of(*slot.task), 0};
    if (!is_at_prompt(slot)) return {};
    std::size_t done = 0;
    if (slot.state == SLOT_STATE_PROCESSING_PROMPT) {
      done = slot.prompt.tokens.size();
    } else if (slot.task->params.cache_prompt) {
      done = slot.prompt.tokens.get_common_prefix(slot.task->tokens);
    }
    return {SlotWork::At::kPrompt, asker_of(*slot.task), slot.task->tokens.size() - done};
  }

  server_context_impl& context_;
  std::vector<server_slot>& slots_;
  const server_batch& batch_;
  const bool mixes_;  // takes prompts in while it generates
  PromptsFirst& prompts_first_;
  std::vector<SlotWork> work_;
  std::vector<std::pair<server_slot*, slot_state>> sitting_out_;  // of this round, and what they are at
};

}  // namespace switchyard::engine
