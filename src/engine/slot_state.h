#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

struct server_context;

// The way between our conversations and the slots of llama.cpp's server_context. This header is also
// compiled as part of llama.cpp's own server-context library (server_context_conversations.cpp): C++17.

namespace switchyard::engine {

class PromptsFirst;

/// What one slot knows of one conversation: its tokens and llama.cpp's state for them. Only of use to
/// a context of the same weights and the same shape.
struct SlotState {
  /// An earlier state of the part that cannot be rolled back (sliding windows, recurrent states).
  struct Checkpoint {
    std::int64_t n_tokens = 0;
    std::int32_t pos_min = 0, pos_max = 0;
    std::vector<std::uint8_t> main, draft, speculative;
  };
  std::string owner;  ///< Request::owner of whoever had it: of use to nobody else
  std::vector<std::int32_t> tokens;
  std::list<Checkpoint> checkpoints;
  std::vector<std::uint8_t> main, draft;

  [[nodiscard]] std::size_t bytes() const {
    std::size_t sum = tokens.size() * sizeof(tokens[0]) + main.size() + draft.size();
    for (const Checkpoint& c : checkpoints) sum += c.main.size() + c.draft.size() + c.speculative.size();
    return sum;
  }
};

/// Where an engine's conversations are kept while no slot has them. Called from the engine's loop and
/// from whoever ends it, never from two threads at once for one engine.
class SlotStateKeeper {
 public:
  virtual ~SlotStateKeeper() = default;
  /// The kept state of `owner` that shares more than `longer_than` first tokens with `tokens`, the longest
  /// such; null when there is none. May read a file.
  [[nodiscard]] virtual std::shared_ptr<const SlotState> find(const std::string& owner,
                                                              const std::vector<std::int32_t>& tokens,
                                                              std::size_t longer_than) = 0;
  /// Makes room for a state of so many bytes; false when it would not be kept.
  [[nodiscard]] virtual bool make_room(std::size_t bytes) = 0;
  virtual void put(SlotState state) = 0;
  /// One that find() gave: whether llama.cpp took it. One that it did not take is forgotten.
  virtual void restored(const std::shared_ptr<const SlotState>& state, bool taken) = 0;
};

/// The slots and the prompt cache of one server_context, tied to a keeper.
///
/// What a request finds of earlier ones is its owner's alone: a slot or a cached prompt of another owner is
/// out of its sight, and a slot that it takes from one is emptied first. While all requests have one owner
/// llama.cpp chooses slots as it does without us.
///
/// While the context's loop runs, a request whose prompt the keeper (or the prompt cache) knows better
/// than every idle slot gets its state back into a slot before it is placed: llama.cpp asks its prompt
/// cache only where no slot is similar. Replies with changed LoRA adapters end all keeping: states do
/// not say which adapters they were made with.
///
/// A probe (kProbe of engine/task_owner.h) leaves no trace.
class SlotConversations {
 public:
  virtual ~SlotConversations() = default;
  /// Gives the keeper what the slots and the prompt cache hold. Once, after the loop has ended.
  virtual void hand_over() = 0;
};

/// Has the loop's rounds go by `prompts_first`, which must outlive it, and call `idle` whenever none of its
/// slots has work. After the model is loaded and before the loop starts.
void connect_rounds(server_context& context, PromptsFirst& prompts_first, std::function<void()> idle);

/// After the model is loaded and before the loop starts; both must outlive the loop and the result.
[[nodiscard]] std::unique_ptr<SlotConversations> connect_conversations(server_context& context,
                                                                       SlotStateKeeper& keeper);

}  // namespace switchyard::engine
