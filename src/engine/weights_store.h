#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/api/engine.h"

struct llama_model;
struct llama_model_params;

namespace switchyard::engine {

/// "x-00001-of-00003.gguf" -> all three; any other path -> itself.
[[nodiscard]] std::vector<std::string> split_files(const std::string& path);

/// Equal for loads that may share one llama_model: path, size and mtime of every file of the model
/// and every field of the parameters that shapes the weights. Empty when the file cannot be read.
[[nodiscard]] std::string weights_key(const std::string& path, const llama_model_params& params);

/// What a load on this thread wants of the store, for one scope. llama.cpp's own code calls
/// llama_model_load_from_file; the linker sends those calls to the store (--wrap, CMakeLists.txt),
/// which hands out one reference-counted llama_model per key, makes the load cancellable, and holds
/// each model loaded in the scope until the scope is destroyed or keep() has been called.
/// Calls outside any scope, and vocab_only or no_alloc loads, go straight to llama.cpp.
class WeightsScope {
 public:
  /// `key` is what the model at `path` was inspected as. When the store holds that, it is what the
  /// scope's load of `path` gets, whatever has become of the file since; when it does not and the file
  /// is another one now, the load fails and file_changed() says so.
  WeightsScope(std::stop_token stop, std::string path, std::string key);
  ~WeightsScope();
  WeightsScope(const WeightsScope&) = delete;
  WeightsScope& operator=(const WeightsScope&) = delete;

  /// A hold on everything that was loaded or found in this scope.
  [[nodiscard]] std::shared_ptr<Weights> keep();
  [[nodiscard]] bool file_changed() const;
  /// Whether a file was cut short while this scope's load read it; the load has failed then.
  [[nodiscard]] bool file_damaged() const;
  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// Whether the mapped files of a stored model were cut short since it was loaded: it computes with zeros, and
/// no load gets it any more. Any thread.
[[nodiscard]] bool weights_are_damaged(const llama_model* model);

/// Whether the store holds the model of this weights_key() ready and undamaged: a load of it is a return from
/// parked.
[[nodiscard]] bool weights_are_held(const std::string& key);

/// llama_model objects in the store now: for tests and /metrics.
[[nodiscard]] std::size_t stored_models();

}  // namespace switchyard::engine
