#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

// Also compiled as part of llama.cpp's own server-context library (server_context_conversations.cpp): C++17.

namespace switchyard::engine {

/// The state of one sequence as llama.cpp v0.5.0 writes it (llama_kv_cache::state_write), for a context whose
/// KV cache has `streams` streams: one for all slots, or one each. llama.cpp reads a state only into as many
/// streams as it came from, although a sequence is in one of them and the others are empty. Layout: the
/// header; per cache (two with sliding windows) the number of streams, and per stream the number of cells
/// and, where there are any, their positions, keys and values. Nothing when that is not what `state` is:
/// other kinds of memory, positions in more than one dimension.
class StateStreams {
 public:
  /// `state` for as many streams; nothing where it is to be used as it is, which costs no copy.
  static std::optional<std::vector<std::uint8_t>> fit(const std::vector<std::uint8_t>& state,
                                                      std::uint32_t streams) {
    std::uint32_t from = streams;
    if (state.size() >= kHeader + sizeof(from)) std::memcpy(&from, state.data() + kHeader, sizeof(from));
    if (from == streams) return std::nullopt;
    return convert(state, streams);
  }
  static std::optional<std::vector<std::uint8_t>> convert(const std::vector<std::uint8_t>& state,
                                                          std::uint32_t streams) {
    StateStreams converting(state, streams);
    if (!converting.copy(kHeader)) return std::nullopt;
    while (converting.at_ < state.size()) {
      if (!converting.cache()) return std::nullopt;
    }
    return std::move(converting.out_);
  }

 private:
  static constexpr std::size_t kHeader = 8;  // magic number, sequence
  static constexpr std::uint32_t kMostStreams = 1024;

  StateStreams(const std::vector<std::uint8_t>& state, std::uint32_t streams)
      : in_(state), streams_(streams) {
    out_.reserve(state.size() + 8 * sizeof(streams));
  }

  template <typename T>
  bool peek(T& value) const {
    if (in_.size() - at_ < sizeof(T)) return false;
    std::memcpy(&value, in_.data() + at_, sizeof(T));
    return true;
  }
  bool copy(std::uint64_t bytes) {
    if (in_.size() - at_ < bytes) return false;
    out_.insert(out_.end(), in_.begin() + static_cast<std::ptrdiff_t>(at_),
                in_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes));
    at_ += bytes;
    return true;
  }
  template <typename T>
  bool copy_into(T& value) {
    return peek(value) && copy(sizeof(T));
  }
  void append(std::uint32_t value) {
    const std::size_t end = out_.size();
    out_.resize(end + sizeof(value));
    std::memcpy(&out_[end], &value, sizeof(value));
  }

  bool cache() {
    std::uint32_t count = 0;
    if (!peek(count) || count == 0 || count > kMostStreams) return false;
    at_ += sizeof(count);
    append(streams_);
    bool seen = false;
    for (std::uint32_t i = 0; i < count; ++i) {
      std::uint32_t cells = 0;
      if (!peek(cells)) return false;
      if (cells == 0) {
        at_ += sizeof(cells);
        continue;
      }
      if (seen || !copy(sizeof(cells)) || !stream(cells)) return false;
      seen = true;
    }
    for (std::uint32_t i = seen ? 1 : 0; i < streams_; ++i) append(0);
    return true;
  }

  bool stream(std::uint32_t cells) {
    for (std::uint32_t i = 0; i < cells; ++i) {
      std::int32_t position = 0, sequence = 0;
      std::uint32_t sequences = 0;
      if (!copy_into(position) || !copy_into(sequences) || sequences != 1 || !copy_into(sequence))
        return false;
    }
    std::uint32_t transposed = 0, layers = 0;
    if (!copy_into(transposed) || transposed > 1 || !copy_into(layers)) return false;
    for (std::uint32_t i = 0; i < layers; ++i) {
      if (!rows(cells)) return false;
    }
    for (std::uint32_t i = 0; i < layers; ++i) {
      if (transposed == 1 ? !columns(cells) : !rows(cells)) return false;
    }
    return true;
  }

  bool rows(std::uint32_t cells) {
    std::int32_t type = 0;
    std::uint64_t bytes = 0;
    return copy_into(type) && copy_into(bytes) && bytes <= in_.size() && copy(bytes * cells);
  }
  bool columns(std::uint32_t cells) {
    std::int32_t type = 0;
    std::uint32_t bytes = 0, width = 0;
    return copy_into(type) && copy_into(bytes) && copy_into(width) && bytes <= 64 &&
           copy(std::uint64_t{bytes} * width * cells);
  }

  const std::vector<std::uint8_t>& in_;
  const std::uint32_t streams_;
  std::size_t at_ = 0;
  std::vector<std::uint8_t> out_;
};

}  // namespace switchyard::engine
