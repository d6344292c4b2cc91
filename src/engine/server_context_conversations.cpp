// Compiled in llama.cpp's server-context library in the place of tools/server/server-context.cpp
// (cmake/Llama.cmake): its slots and its prompt cache are defined there and nowhere else.
#include "server-context.cpp"

#include "engine/server_context_members.h"
#include "engine/slot_data.h"
#include "engine/slot_loan.h"
#include "engine/slot_rounds.h"
#include "engine/slot_state.h"
#include "engine/state_streams.h"
#include "engine/task_owner.h"

namespace switchyard::engine {
namespace {

/// Fewer tokens than this are evaluated again as fast as a state is copied.
constexpr std::size_t kLeastGain = 32;
constexpr std::size_t kLeastTokens = 16;

/// The tokens as numbers; empty when there is an image or a sound among them.
std::vector<std::int32_t> plain_tokens(const server_tokens& tokens) {
  std::vector<std::int32_t> plain(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == LLAMA_TOKEN_NULL) return {};
    plain[i] = tokens[i];
  }
  return plain;
}

std::list<SlotState::Checkpoint> to_ours(std::list<common_prompt_checkpoint>&& theirs) {
  std::list<SlotState::Checkpoint> ours;
  for (common_prompt_checkpoint& c : theirs) {
    ours.push_back({c.n_tokens, c.pos_min, c.pos_max, std::move(c.data_tgt), std::move(c.data_dft),
                    std::move(c.data_spec)});
  }
  return ours;
}

std::list<common_prompt_checkpoint> to_theirs(const std::list<SlotState::Checkpoint>& ours) {
  std::list<common_prompt_checkpoint> theirs;
  for (const SlotState::Checkpoint& c : ours) {
    common_prompt_checkpoint& copy = theirs.emplace_back();
    copy.update_pos(c.n_tokens, c.pos_min, c.pos_max);
    copy.data_tgt = c.main;
    copy.data_dft = c.draft;
    copy.data_spec = c.speculative;
  }
  return theirs;
}

class Connected final : public SlotConversations {
 public:
  Connected(server_context_impl& context, SlotStateKeeper& keeper)
      : context_(context),
        keeper_(keeper),
        slots_(context.*member(Slots{})),
        cache_((context.*member(PromptCache{})).get()),
        params_(context.*member(Params{})),
        similarity_(context.*member(Similarity{})),
        owners_(slots_.size()),
        probes_(slots_, params_) {
    context_.queue_tasks.on_new_task([this](server_task&& task, bool is_yielding) {
      return is_yielding ? process(std::move(task), true) : take(std::move(task));
    });
  }

  void hand_over() override {
    probes_.end();
    if (adapters_changed_) return;
    std::vector<server_slot*> fresh;  // what the prompt cache does not have
    for (server_slot& slot : slots_) {
      if (is_sound(slot) && !is_cached(slot)) fresh.push_back(&slot);
    }
    std::sort(fresh.begin(), fresh.end(), [](auto* a, auto* b) { return a->t_last_used < b->t_last_used; });
    for (Hidden& hidden : hidden_) hand_over(hidden.owner, hidden.states);
    hidden_.clear();
    if (cache_ != nullptr) hand_over(shown_, cache_->states);
    for (server_slot* slot : fresh) keep(*slot);
  }

 private:
  using States = std::list<server_prompt_cache_state>;
  /// Cached prompts of an owner who does not ask at the moment.
  struct Hidden {
    std::string owner;
    std::uint64_t asked = 0;  ///< when, in requests
    States states;
  };
  /// Has the prompt cache be an owner's for a while.
  class Showing {
   public:
    Showing(Connected& of, const std::string& owner) : of_(of), before_(of.shown_), asked_(of.shown_asked_) {
      of_.show(owner);
    }
    ~Showing() {
      of_.show(before_);
      of_.shown_asked_ = asked_;  // also where nothing of theirs is cached yet
    }
    Showing(const Showing&) = delete;
    Showing& operator=(const Showing&) = delete;

   private:
    Connected& of_;
    const std::string before_;
    const std::uint64_t asked_;
  };

  bool process(server_task&& task, bool is_yielding) {
    return (context_.*member(ProcessTask{}))(std::move(task), is_yielding);
  }

  void hand_over(const std::string& owner, States& states) {
    for (server_prompt_cache_state& state : states) {
      SlotState kept;
      kept.owner = owner;
      kept.tokens = plain_tokens(state.prompt.tokens);
      if (kept.tokens.size() < kLeastTokens) continue;
      kept.checkpoints = to_ours(std::move(state.prompt.checkpoints));
      kept.main = std::move(state.data.main);
      kept.draft = std::move(state.data.drft);
      keeper_.put(std::move(kept));
    }
    states.clear();
  }

  std::string& owner_of_slot(const server_slot& slot) {
    return owners_[static_cast<std::size_t>(&slot - slots_.data())];
  }

  /// The prompt cache becomes `owner`'s: what llama.cpp looks at there and adds to is theirs alone.
  void show(const std::string& owner) {
    if (cache_ == nullptr || owner == shown_) return;
    if (!cache_->states.empty()) {
      hidden_.push_back({shown_, shown_asked_, {}});
      hidden_.back().states.swap(cache_->states);
    }
    shown_ = owner;
    shown_asked_ = 0;
    const auto own = find_hidden(owner);
    if (own == hidden_.end()) return;
    shown_asked_ = own->asked;
    cache_->states.swap(own->states);
    hidden_.erase(own);
  }

  std::list<Hidden>::iterator find_hidden(const std::string& owner) {
    return std::find_if(hidden_.begin(), hidden_.end(), [&](const Hidden& h) { return h.owner == owner; });
  }

  /// Whether the cache would have too much, with `coming` more bytes in it. Its bounds are llama.cpp's:
  /// bytes, or tokens where there is no bound of bytes.
  bool is_too_much(std::size_t coming) const {
    const bool by_bytes = cache_->limit_size > 0;
    if (!by_bytes && cache_->limit_tokens == 0) return false;
    std::size_t sum = by_bytes ? cache_->size() + coming : cache_->n_tokens();
    for (const Hidden& hidden : hidden_) {
      for (const server_prompt_cache_state& state : hidden.states)
        sum += by_bytes ? state.size() : static_cast<std::size_t>(state.prompt.n_tokens());
    }
    return sum > (by_bytes ? cache_->limit_size : cache_->limit_tokens);
  }

  /// The cache's bound is one for all owners: who has not asked for longest loses the oldest.
  void bound_hidden(std::size_t coming = 0) {
    while (!hidden_.empty() && is_too_much(coming)) {
      const auto last = std::min_element(hidden_.begin(), hidden_.end(),
                                         [](const Hidden& a, const Hidden& b) { return a.asked < b.asked; });
      last->states.pop_front();
      if (last->states.empty()) hidden_.erase(last);
    }
  }

  /// Nothing in the slots and the cache is another owner's.
  bool is_alone(const std::string& owner) {
    return hidden_.empty() && std::all_of(slots_.begin(), slots_.end(), [&](const server_slot& slot) {
             return slot.prompt.tokens.empty() || owner_of_slot(slot) == owner;
           });
  }

  /// Looks at a task before llama.cpp does.
  bool take(server_task&& task) {
    probes_.settle();
    if (task.type == SERVER_TASK_TYPE_SET_LORA || !task.params.lora.empty()) adapters_changed_ = true;
    switch (task.type) {
      case SERVER_TASK_TYPE_COMPLETION:
      case SERVER_TASK_TYPE_INFILL:
      case SERVER_TASK_TYPE_EMBEDDING:
      case SERVER_TASK_TYPE_RERANK: return place(std::move(task));
      case SERVER_TASK_TYPE_SLOT_RESTORE: return restore_file(std::move(task));
      default: return process(std::move(task), false);
    }
  }

  /// An administrator puts a file's conversation into a slot: it is theirs now.
  bool restore_file(server_task&& task) {
    const std::string owner = owner_of(task);
    const auto wanted = static_cast<std::size_t>(task.slot_action.id_slot) % slots_.size();
    const bool is_free = !slots_[wanted].is_processing();
    const bool taken = process(std::move(task), false);
    if (is_free) owners_[wanted] = owner;
    return taken;
  }

  /// The slot that a task names, by llama.cpp's reckoning; -1 for none.
  int wanted_slot(const server_task& task) const {
    if (task.id_slot == -1) return -1;
    return static_cast<int>(static_cast<std::size_t>(task.id_slot) % slots_.size());
  }

  /// Whether it has the slots that it takes. llama.cpp would touch what a slot holds before it finds out.
  bool can_begin(const server_task& task) const {
    const int wanted = wanted_slot(task);
    if (wanted != -1 && slots_[static_cast<std::size_t>(wanted)].is_processing()) return false;
    const auto free = std::count_if(slots_.begin(), slots_.end(),
                                    [](const server_slot& slot) { return !slot.is_processing(); });
    return static_cast<std::size_t>(free) >= 1 + task.child_tasks.size();
  }

  bool place(server_task&& task) {
    if (owner_of(task) == kProbe) return probe(std::move(task));
    if (!can_begin(task)) {
      context_.queue_tasks.defer(std::move(task));
      return true;
    }
    const std::string owner = owner_of(task);
    show(owner);
    shown_asked_ = ++asked_;
    const bool apart = !is_alone(owner);
    if (apart) choose_slot(task, owner);
    std::vector<server_slot*> idle;
    for (server_slot& slot : slots_) {
      if (slot.is_processing()) continue;
      idle.push_back(&slot);
      if (!apart) owner_of_slot(slot) = owner;  // also of one that is empty: what comes in is theirs
    }
    before(task, apart);
    // What llama.cpp saves of idle slots would be taken for the owner's of the task.
    const bool saves_idle_slots = params_.cache_idle_slots;
    params_.cache_idle_slots = saves_idle_slots && !apart;
    const bool taken = process(std::move(task), false);
    params_.cache_idle_slots = saves_idle_slots;
    const bool begun =
        std::any_of(idle.begin(), idle.end(), [](const server_slot* slot) { return slot->is_processing(); });
    if (apart && saves_idle_slots && begun) save_idle_slots();
    bound_hidden();
    return taken;
  }

  /// Gives a probe a slot, and has none of the others moved for it.
  bool probe(server_task&& task) {
    server_slot* const slot = can_begin(task) ? probes_.choose(task.tokens.size() + 1) : nullptr;
    if (slot == nullptr) {
      context_.queue_tasks.defer(std::move(task));
      return true;
    }
    save_to_cache(*slot);  // for who asks for it meanwhile
    probes_.begin(*slot);
    task.id_slot = slot->id;
    const bool saves_idle_slots = std::exchange(params_.cache_idle_slots, false);
    const bool taken = process(std::move(task), false);
    params_.cache_idle_slots = saves_idle_slots;
    return taken;
  }

  /// llama.cpp's choice among what is `owner`'s and what is empty; where there is neither, the slot that was
  /// not used for longest, emptied. So are those that other replies to the same prompt will take.
  void choose_slot(server_task& task, const std::string& owner) {
    const int wanted = wanted_slot(task);
    server_slot* similar = nullptr;
    server_slot* empty = nullptr;
    server_slot* oldest = nullptr;
    auto common = static_cast<std::size_t>(similarity_ * static_cast<float>(task.tokens.size()));
    const auto older = [](const server_slot& slot, const server_slot* than) {
      return than == nullptr || slot.t_last_used <= than->t_last_used;
    };
    for (server_slot& slot : slots_) {
      if (slot.is_processing() || (wanted != -1 && slot.id != wanted)) continue;
      if (older(slot, oldest)) oldest = &slot;
      if (slot.prompt.tokens.empty()) {
        if (older(slot, empty)) empty = &slot;
      } else if (similarity_ > 0.0f && owner_of_slot(slot) == owner) {
        const std::size_t shared = slot.prompt.tokens.get_common_prefix(task.tokens);
        if (shared <= common) continue;
        common = shared;
        similar = &slot;
      }
    }
    server_slot& target = similar != nullptr ? *similar : empty != nullptr ? *empty : *oldest;
    give(target, owner);
    task.id_slot = target.id;
    std::size_t others = task.child_tasks.size();
    for (server_slot& slot : slots_) {
      if (others == 0) break;
      if (slot.is_processing() || &slot == &target) continue;
      give(slot, owner);
      --others;
    }
    if (!hidden_.empty() && !target.prompt.tokens.empty()) bound_hidden(size_of(target));  // it may be saved
  }

  void give(server_slot& slot, const std::string& owner) {
    if (!slot.prompt.tokens.empty() && owner_of_slot(slot) != owner) vacate(slot);
    owner_of_slot(slot) = owner;
  }

  /// As llama.cpp does behind each new task, with each slot in its own owner's part of the cache.
  void save_idle_slots() {
    for (server_slot& slot : slots_) {
      if (slot.is_processing() || slot.prompt.tokens.empty()) continue;
      if (params_.kv_unified) {
        vacate(slot);
      } else {
        save_to_cache(slot);
      }
    }
  }

  static std::size_t size_of(const server_slot& slot) {
    std::size_t bytes = llama_state_seq_get_size_ext(slot.ctx_tgt, slot.id, 0);
    if (slot.ctx_dft != nullptr) bytes += llama_state_seq_get_size_ext(slot.ctx_dft, slot.id, 0);
    for (const common_prompt_checkpoint& c : slot.prompt.checkpoints) bytes += c.size();
    return bytes;
  }

  /// The slot's tokens are what its context has evaluated.
  static bool is_sound(const server_slot& slot) {
    const server_tokens& tokens = slot.prompt.tokens;
    return tokens.size() >= kLeastTokens &&
           llama_memory_seq_pos_max(llama_get_memory(slot.ctx_tgt), slot.id) + 1 == tokens.pos_next();
  }

  bool is_cached(const server_slot& slot) {
    if (cache_ == nullptr) return false;
    const std::string& owner = owner_of_slot(slot);
    const auto hidden = find_hidden(owner);
    if (owner != shown_ && hidden == hidden_.end()) return false;
    const States& states = owner == shown_ ? cache_->states : hidden->states;
    return std::any_of(states.begin(), states.end(), [&](const auto& state) {
      return state.prompt.tokens.get_common_prefix(slot.prompt.tokens) == slot.prompt.tokens.size();
    });
  }

  void keep(server_slot& slot) {
    SlotState kept;
    kept.owner = owner_of_slot(slot);
    kept.tokens = plain_tokens(slot.prompt.tokens);
    if (kept.tokens.empty() || !keeper_.make_room(size_of(slot))) return;
    SlotData data = read_data(slot);
    kept.main = std::move(data.main);
    kept.draft = std::move(data.draft);
    kept.checkpoints = to_ours(std::list<common_prompt_checkpoint>(slot.prompt.checkpoints));
    keeper_.put(std::move(kept));
  }

  /// What an idle slot knows goes to the prompt cache too, or to the keeper where that is too small.
  void save(server_slot& slot) {
    if (!save_to_cache(slot) && !adapters_changed_) keep(slot);
  }

  /// False where the prompt cache has no room for what would be worth it.
  bool save_to_cache(server_slot& slot) {
    if (params_.embedding || !is_sound(slot) || is_cached(slot)) return true;
    const std::size_t bytes = size_of(slot);
    if (cache_ == nullptr || (cache_->limit_size > 0 && bytes > cache_->limit_size)) return false;
    const Showing owners(*this, owner_of_slot(slot));
    bound_hidden(bytes);
    if (slot.prompt_save(*cache_)) cache_->update();
    return true;
  }

  void vacate(server_slot& slot) {
    save(slot);
    slot.prompt_clear();
  }

  void before(server_task& task, bool apart) {
    const bool generates = task.type == SERVER_TASK_TYPE_COMPLETION || task.type == SERVER_TASK_TYPE_INFILL;
    if (!generates || !task.params.cache_prompt) return;
    const std::vector<std::int32_t> tokens =
        adapters_changed_ ? std::vector<std::int32_t>() : plain_tokens(task.tokens);
    if (!tokens.empty()) return restore_best(task, tokens);
    if (!apart || cache_ == nullptr || task.type != SERVER_TASK_TYPE_COMPLETION) return;
    // llama.cpp does not ask its cache for a slot that is named and empty.
    server_slot& target = slots_[static_cast<std::size_t>(task.id_slot)];
    if (target.prompt.tokens.empty() && !target.prompt_load(*cache_, task.tokens)) target.prompt_clear();
  }

  /// The idle slots as llama.cpp will choose among them for one task.
  struct Choice {
    server_slot* similar = nullptr;  ///< has the longest common beginning
    std::size_t common = 0;
    server_slot* oldest = nullptr;  ///< taken where none is similar enough
    server_slot* empty = nullptr;   ///< the oldest of those
  };

  Choice look_at_slots(const server_task& task) {
    Choice choice;
    const int wanted = wanted_slot(task);
    for (server_slot& slot : slots_) {
      if (slot.is_processing() || (wanted != -1 && slot.id != wanted)) continue;
      const std::size_t common = slot.prompt.tokens.get_common_prefix(task.tokens);
      if (choice.similar == nullptr || common > choice.common) {
        choice.similar = &slot;
        choice.common = common;
      }
      if (choice.oldest == nullptr || slot.t_last_used <= choice.oldest->t_last_used) choice.oldest = &slot;
      const bool is_empty = slot.prompt.tokens.empty();
      if (is_empty && (choice.empty == nullptr || slot.t_last_used <= choice.empty->t_last_used))
        choice.empty = &slot;
    }
    return choice;
  }

  /// How much of a prompt llama.cpp has once it has placed it in `slot` and asked its own cache: by the rules
  /// of server_prompt_cache::load(). What it finds by itself is left to it, so that replies are
  /// llama-server's to the last token: where a state lies in the KV cache shows in the last bits of what is
  /// computed from it.
  std::size_t own_choice(const server_slot& slot, const server_tokens& tokens) const {
    const auto share = [](std::size_t part, std::size_t whole) {
      return static_cast<float>(part) / static_cast<float>(whole);
    };
    std::size_t best = slot.prompt.tokens.get_common_prefix(tokens);
    float best_kept = slot.prompt.tokens.empty() ? -1.0f : share(best, slot.prompt.tokens.size());
    for (const server_prompt_cache_state& state : cache_->states) {
      const std::size_t common = state.prompt.tokens.get_common_prefix(tokens);
      const float kept = share(common, state.prompt.tokens.size());
      if (kept < 0.25f || kept <= best_kept || common <= best) continue;
      best = common;
      best_kept = kept;
    }
    return best;
  }

  void restore_best(server_task& task, const std::vector<std::int32_t>& tokens) {
    const Choice choice = look_at_slots(task);
    if (choice.oldest == nullptr) return;  // it will be offered again when a slot is free
    const auto similar_enough = static_cast<std::size_t>(similarity_ * static_cast<float>(tokens.size()));
    std::size_t longest = std::max(choice.common + kLeastGain, similar_enough);
    const bool by_similarity = similarity_ > 0.0f && choice.common > similar_enough;
    std::list<server_prompt_cache_state> cached;
    if (cache_ != nullptr) {
      auto best = cache_->states.end();
      for (auto it = cache_->states.begin(); it != cache_->states.end(); ++it) {
        const std::size_t common = it->prompt.tokens.get_common_prefix(task.tokens);
        if (common <= longest || common * 4 < it->prompt.tokens.size()) continue;
        longest = common;
        best = it;
      }
      const bool asks_cache =
          !by_similarity && task.id_slot == -1 && task.type == SERVER_TASK_TYPE_COMPLETION;
      if (asks_cache && own_choice(*choice.oldest, task.tokens) >= longest) best = cache_->states.end();
      // Taken out first: saving what is in the way may drop the oldest.
      if (best != cache_->states.end()) cached.splice(cached.begin(), cache_->states, best);
    }
    const auto kept = keeper_.find(owner_of(task), tokens, longest);
    if (kept == nullptr && cached.empty()) {
      return save_what_is_overwritten(by_similarity ? *choice.similar : *choice.oldest, task.tokens);
    }
    if (kept != nullptr && !cached.empty()) cache_->states.splice(cache_->states.end(), cached);

    server_slot& target = choice.empty != nullptr ? *choice.empty : *choice.oldest;
    make_way(target);
    const bool taken = kept != nullptr ? load(target, *kept) : load(target, cached.front());
    if (kept != nullptr) keeper_.restored(kept, taken);
    if (!taken) {
      SRV_WRN("%s", "the saved state of a conversation was not taken\n");
      target.prompt_clear();
    } else if (similarity_ == 0.0f) {
      task.id_slot = target.id;
    }
  }

  /// llama.cpp saves a slot only when it is about to lose more than half of it: what follows a long
  /// common beginning would be gone.
  void save_what_is_overwritten(server_slot& slot, const server_tokens& next) {
    if (slot.prompt.tokens.size() > slot.prompt.tokens.get_common_prefix(next) + kLeastGain) save(slot);
  }

  /// With one KV cache for all slots, llama.cpp moves the idle ones out as soon as a task is placed; the
  /// state that comes back may need their cells.
  void make_way(server_slot& target) {
    if (params_.kv_unified && params_.cache_idle_slots) {
      for (server_slot& slot : slots_) {
        if (!slot.is_processing() && !slot.prompt.tokens.empty()) vacate(slot);
      }
    }
    if (!target.prompt.tokens.empty()) vacate(target);
  }

  bool load(server_slot& slot, server_prompt_cache_state& state) const {
    if (!load_data(slot, state.data.main, state.data.drft)) return false;
    slot.prompt = std::move(state.prompt);
    return true;
  }

  bool load(server_slot& slot, const SlotState& state) const {
    if (state.tokens.size() >= static_cast<std::size_t>(slot.n_ctx)) return false;  // of a larger context
    const std::uint32_t streams = params_.kv_unified ? 1 : static_cast<std::uint32_t>(params_.n_parallel);
    const auto main = StateStreams::fit(state.main, streams);
    const auto draft = StateStreams::fit(state.draft, streams);
    if (!load_data(slot, main ? *main : state.main, draft ? *draft : state.draft)) return false;
    slot.prompt.tokens = server_tokens(state.tokens, context_.mctx != nullptr);
    slot.prompt.checkpoints = to_theirs(state.checkpoints);
    for (common_prompt_checkpoint& c : slot.prompt.checkpoints) {
      for (std::vector<std::uint8_t>* data : {&c.data_tgt, &c.data_dft}) {
        if (auto fitted = StateStreams::fit(*data, streams)) *data = std::move(*fitted);
      }
    }
    return is_sound(slot);
  }

  server_context_impl& context_;
  SlotStateKeeper& keeper_;
  std::vector<server_slot>& slots_;
  server_prompt_cache* const cache_;  // null with --cache-ram 0
  common_params& params_;
  const float similarity_;
  std::vector<std::string> owners_;  // of what each slot holds, by its place
  std::string shown_;                // whose the prompt cache is
  std::uint64_t shown_asked_ = 0;
  std::list<Hidden> hidden_;  // the rest of it
  std::uint64_t asked_ = 0;
  bool adapters_changed_ = false;
  SlotLoan probes_;
};

}  // namespace

void connect_rounds(server_context& context, PromptsFirst& prompts_first, std::function<void()> idle) {
  server_context_impl& impl = *context.impl;
  impl.queue_tasks.on_update_slots(
      [rounds = std::make_shared<SlotRounds>(impl, prompts_first), idle = std::move(idle)] {
        rounds->next();
        if (rounds->is_idle()) idle();
      });
}

std::unique_ptr<SlotConversations> connect_conversations(server_context& context, SlotStateKeeper& keeper) {
  return std::make_unique<Connected>(*context.impl, keeper);
}

}  // namespace switchyard::engine
