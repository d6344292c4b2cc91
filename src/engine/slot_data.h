#pragma once

#include <cstdint>
#include <vector>

// A part of server_context_conversations.cpp, which includes llama.cpp's server-context.cpp before it.

namespace switchyard::engine {

/// llama.cpp's state for what a slot holds, of its model and of the draft beside it.
struct SlotData {
  std::vector<std::uint8_t> main, draft;
};

inline SlotData read_data(const server_slot& slot) {
  const auto read = [&](llama_context* context) {
    std::vector<std::uint8_t> data(llama_state_seq_get_size_ext(context, slot.id, 0));
    llama_state_seq_get_data_ext(context, data.data(), data.size(), slot.id, 0);
    return data;
  };
  return {read(slot.ctx_tgt), slot.ctx_dft != nullptr ? read(slot.ctx_dft) : std::vector<std::uint8_t>()};
}

/// False where llama.cpp does not take it; the slot is to be cleared then.
inline bool load_data(server_slot& slot, const std::vector<std::uint8_t>& main,
                      const std::vector<std::uint8_t>& draft) {
  const auto load = [&](llama_context* context, const std::vector<std::uint8_t>& data) {
    return llama_state_seq_set_data_ext(context, data.data(), data.size(), slot.id, 0) == data.size();
  };
  if (draft.empty() != (slot.ctx_dft == nullptr)) return false;
  return load(slot.ctx_tgt, main) && (draft.empty() || load(slot.ctx_dft, draft));
}

}  // namespace switchyard::engine
