#pragma once

#include <cstdint>

#include "engine/worker/busy_board.h"

namespace switchyard::engine {

/// Shares the machine's cores between the engines that are decoding, the loads in progress and other
/// programs. Threads that outnumber the cores stall each other at ggml's spinning barriers (320 ms a
/// token instead of 12 was measured, seconds on a crowded machine), so before each llama_decode the
/// calling engine takes cores / (busy engines + loads) threads, at most as many as other programs
/// leave free, at least one, and all that it was configured for when it is alone. The decision is made
/// in the wrapped llama_decode, on the engine's own thread.
///
/// Call once before any engine exists. `cores` = 0 means the physical cores.
void set_thread_budget(std::uint32_t cores);
[[nodiscard]] std::uint32_t thread_budget();

/// Where this process and its workers see who else is busy.
[[nodiscard]] worker::BusyBoard& busy_board();
/// For a worker: takes part in the server's, which it has inherited. Before anything else here is called.
void join_busy_board(int fd);

/// Makes this thread's decodes take part in the budget, for one scope: an engine's loop or its load.
/// `threads` and `threads_batch` are what the engine is configured for and never exceeded.
class DecodeScope {
 public:
  DecodeScope(std::int32_t threads, std::int32_t threads_batch);
  ~DecodeScope();
  DecodeScope(const DecodeScope&) = delete;
  DecodeScope& operator=(const DecodeScope&) = delete;
};

/// Counts a load in progress: a core is left to it.
class LoadingScope {
 public:
  LoadingScope();
  ~LoadingScope();
  LoadingScope(const LoadingScope&) = delete;
  LoadingScope& operator=(const LoadingScope&) = delete;
};

/// Whether an engine other than this thread's own decodes, or has in the last moments.
[[nodiscard]] bool an_engine_decodes();

/// Before work that OpenMP spreads by itself, on this thread: as many threads as the budget leaves it now. So
/// is the repacking of weights, tensor by tensor.
void share_openmp_threads();

/// Ends the workers that this thread's last decode has left waiting; the next one makes them anew (some
/// 50 us). libgomp counts the threads of all engines, idle ones too: with more of them than processors
/// nobody spins at a barrier any more, and a token takes 1.5 times as long. A load does so at its end, an
/// engine's loop when none of its slots has work.
void end_idle_workers();

/// What an engine gets: pure, for the tests.
struct Demand {
  std::uint32_t cores = 1;    ///< to share between engines and loads
  std::uint32_t others = 0;   ///< other busy engines and loads
  std::uint32_t machine = 1;  ///< processors of the machine
  double foreign = 0;         ///< processors that other programs keep busy, on average
};
[[nodiscard]] std::int32_t threads_for(std::int32_t configured, const Demand& demand);

}  // namespace switchyard::engine
