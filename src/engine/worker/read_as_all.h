#pragma once

#include "engine/worker/codec.h"

namespace switchyard::engine::worker {

/// For tests: takes `message` for each kind there is. Each reading must come to an answer.
inline void read_as_all(const Message& message) {
  (void)read_start(message);
  (void)read_load(message);
  (void)read_progress(message);
  (void)read_loaded(message);
  (void)read_head(message);
  (void)read_sample(message);
  (void)read_error(message);
  (void)read_numbers(message);
  (void)read_find(message);
  (void)read_handle(message);
  (void)read_state(message);
}

}  // namespace switchyard::engine::worker
