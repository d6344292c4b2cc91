#include "engine/state_streams.h"

#include <gtest/gtest.h>

#include <cstring>

namespace switchyard::engine {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <typename T>
void add(Bytes& bytes, T value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(value));
  std::memcpy(&bytes[at], &value, sizeof(value));
}

struct Shape {
  std::uint32_t streams, stream;  ///< how many, and which one has the sequence
  std::uint32_t cells = 3;
  bool transposed = false;
};

/// As llama_kv_cache::state_write lays it out: two layers, rows of 8 and 6 bytes.
void add_cache(Bytes& state, const Shape& shape) {
  add(state, shape.streams);
  for (std::uint32_t s = 0; s < shape.streams; ++s) {
    const std::uint32_t cells = s == shape.stream ? shape.cells : 0;
    add(state, cells);
    if (cells == 0) continue;
    for (std::uint32_t i = 0; i < cells; ++i) {
      add<std::int32_t>(state, static_cast<std::int32_t>(i));
      add<std::uint32_t>(state, 1);
      add<std::int32_t>(state, 0);
    }
    add<std::uint32_t>(state, shape.transposed ? 1 : 0);
    add<std::uint32_t>(state, 2);
    for (int layer = 0; layer < 2; ++layer) {
      add<std::int32_t>(state, 1);
      add<std::uint64_t>(state, 8);
      state.insert(state.end(), std::size_t{8} * cells, 0xAA);
    }
    for (int layer = 0; layer < 2; ++layer) {
      add<std::int32_t>(state, 1);
      if (shape.transposed) {
        add<std::uint32_t>(state, 2);
        add<std::uint32_t>(state, 3);
      } else {
        add<std::uint64_t>(state, 6);
      }
      state.insert(state.end(), std::size_t{6} * cells, 0xBB);
    }
  }
}

Bytes state_of(const std::vector<Shape>& caches) {
  Bytes state;
  add<std::uint64_t>(state, 0x1234);
  for (const Shape& shape : caches) add_cache(state, shape);
  return state;
}

TEST(StateStreams, TheSequenceBecomesTheFirstStreamOfAnyNumber) {
  for (const bool transposed : {false, true}) {
    for (std::uint32_t from = 1; from <= 4; ++from) {
      for (std::uint32_t stream = 0; stream < from; ++stream) {
        const Bytes state = state_of({{.streams = from, .stream = stream, .transposed = transposed}});
        for (const std::uint32_t to : {1U, 2U, 5U}) {
          EXPECT_EQ(StateStreams::convert(state, to),
                    state_of({{.streams = to, .stream = 0, .transposed = transposed}}));
        }
      }
    }
  }
}

TEST(StateStreams, BothCachesOfASlidingWindowAreRewrittenAndAnEmptyOneStaysEmpty) {
  const Bytes state = state_of({{.streams = 3, .stream = 2}, {.streams = 3, .stream = 2, .cells = 1}});
  EXPECT_EQ(StateStreams::convert(state, 2),
            state_of({{.streams = 2, .stream = 0}, {.streams = 2, .stream = 0, .cells = 1}}));
  EXPECT_EQ(StateStreams::convert(state_of({{.streams = 2, .stream = 0, .cells = 0}}), 1),
            state_of({{.streams = 1, .stream = 0, .cells = 0}}));
}

TEST(StateStreams, WhatIsSomethingElseIsLeftAlone) {
  const Bytes state = state_of({{.streams = 2, .stream = 0}});
  EXPECT_EQ(StateStreams::fit(state, 2), std::nullopt);
  for (std::size_t size = 0; size < state.size(); ++size) {
    const Bytes cut(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(StateStreams::fit(cut, 3), std::nullopt) << size;
  }
  Bytes longer = state;
  longer.push_back(0);
  EXPECT_EQ(StateStreams::fit(longer, 3), std::nullopt);
  EXPECT_EQ(StateStreams::fit(state, 3), state_of({{.streams = 3, .stream = 0}}));
}

}  // namespace
}  // namespace switchyard::engine
