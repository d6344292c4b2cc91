#pragma once

#include <string>

#include "engine/api/engine.h"

// What isolation changes of what is known of a version: pure functions.

namespace switchyard::engine {

/// What a worker process takes beside what llama.cpp takes for the model.
constexpr ByteSize kWorkerBase = ByteSize::mib(8);
/// And on each GPU that it uses: the driver's context with llama.cpp's kernels (CUDA 13 on an H200: 593 to
/// 599 MiB).
constexpr ByteSize kWorkerOnDevice = ByteSize::mib(600);

/// The bounds for the inspection of a version that lives in a worker: less what the process itself takes, and
/// no more than the worker may have; a mapped file does not count there.
[[nodiscard]] InspectOptions bounds_in_worker(const InspectOptions& options, const WorkerLimits& limits,
                                              ByteSize file_size);

/// `inspection` as of a version with a worker of its own: it shares its weights with nobody, and its need has
/// the process in it. Errors: kInvalidArgument when it needs more than the worker may have.
[[nodiscard]] Result<Inspection> in_worker(Inspection inspection, const ModelSpec& spec);

/// And back: the weights as llama.cpp's load knows them.
[[nodiscard]] std::string plain_weights_key(const std::string& weights_key);

}  // namespace switchyard::engine
