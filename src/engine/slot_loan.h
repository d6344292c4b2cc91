#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "engine/slot_data.h"

// A part of server_context_conversations.cpp, which includes llama.cpp's server-context.cpp before it.

namespace switchyard::engine {

/// Lends a slot to a probe and puts back what was in it, so that a probe leaves no trace: the next request
/// finds the slots as llama-server would have them, and who saves a slot saves what they had in it.
class SlotLoan {
 public:
  SlotLoan(std::vector<server_slot>& slots, const common_params& params) : slots_(slots), params_(params) {}

  /// An idle slot: an empty one where the KV cache has `tokens` free cells, else the one that was not used
  /// for longest. Null where there is none, or an earlier probe is not over.
  [[nodiscard]] server_slot* choose(std::size_t tokens) const {
    if (loan_) return nullptr;
    const std::size_t held = std::accumulate(
        slots_.begin(), slots_.end(), tokens,
        [](std::size_t sum, const server_slot& slot) { return sum + slot.prompt.tokens.size(); });
    const bool has_room = !params_.kv_unified || held <= static_cast<std::size_t>(slots_.front().n_ctx);
    server_slot* best = nullptr;
    const auto rank = [&](const server_slot& slot) {
      return std::pair(slot.prompt.tokens.empty() != has_room, slot.t_last_used);
    };
    for (server_slot& slot : slots_) {
      if (!slot.is_processing() && (best == nullptr || rank(slot) < rank(*best))) best = &slot;
    }
    return best;
  }

  /// Empties `slot` for a probe.
  void begin(server_slot& slot) {
    loan_.emplace();
    loan_->slot = &slot;
    loan_->last_used = slot.t_last_used;
    loan_->last_task = std::move(slot.task_prev);
    if (!slot.prompt.tokens.empty() && !params_.embedding) {  // embeddings go on from nothing
      loan_->data = read_data(slot);
      loan_->prompt = std::move(slot.prompt);
    }
    slot.prompt_clear();
  }

  /// Puts everything back once the probe is over. Before each task.
  void settle() {
    if (loan_ && !loan_->slot->is_processing()) end();
  }

  /// Puts everything back, of a probe that was cut short too. After the loop has ended.
  void end() {
    if (!loan_) return;
    server_slot& slot = *loan_->slot;
    slot.prompt_clear();
    if (!loan_->prompt.tokens.empty()) {
      if (load_data(slot, loan_->data.main, loan_->data.draft)) {
        slot.prompt = std::move(loan_->prompt);
      } else {
        SRV_WRN("%s", "what a slot held before a probe was not taken back\n");
        slot.prompt_clear();
      }
    }
    slot.t_last_used = loan_->last_used;
    slot.task_prev = std::move(loan_->last_task);
    loan_.reset();
  }

 private:
  struct Loan {
    server_slot* slot = nullptr;
    std::int64_t last_used = 0;
    decltype(server_slot::task_prev) last_task;
    server_prompt prompt;
    SlotData data;
  };

  std::vector<server_slot>& slots_;
  const common_params& params_;
  std::optional<Loan> loan_;
};

}  // namespace switchyard::engine
