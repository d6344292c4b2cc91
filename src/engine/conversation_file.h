#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/slot_state.h"
#include "switchyard/result.h"

// One conversation in one file: a head (whose it is, its tokens, the sizes of what follows) and the
// state, each with a checksum. Read back whole or not at all: llama.cpp aborts on some damaged states.

namespace switchyard::engine {

/// What a file says of itself.
struct ConversationHead {
  std::string shape;  ///< of the context that can take it, see ConversationStore
  std::string owner;  ///< SlotState::owner
  std::vector<std::int32_t> tokens;
  std::uint64_t state_bytes = 0;  ///< as SlotState::bytes()
};

/// Writes `state` to `path`, readable by its owner only, in one step: nobody ever sees a part. Errors:
/// kUnavailable with the cause (no space, no right); then nothing is left behind.
[[nodiscard]] Status write_conversation(const std::string& path, const std::string& shape,
                                        const SlotState& state);

/// The bytes that write_conversation() would take on disk.
[[nodiscard]] std::uint64_t conversation_file_size(const std::string& shape, const SlotState& state);

/// Errors of both: kCorruptFile for what is no such file, or a damaged or truncated one.
[[nodiscard]] Result<ConversationHead> read_conversation_head(const std::string& path);
[[nodiscard]] Result<SlotState> read_conversation(const std::string& path, const std::string& shape);

}  // namespace switchyard::engine
