#include "engine/weights_store.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/file_mapping.h"
#include "engine/mapping_guard.h"
#include "engine/repacked_weights.h"
#include "engine/thread_budget.h"
#include "llama-model.h"
#include "llama.h"

extern "C" {
llama_model* __real_llama_model_load_from_file(const char* path, llama_model_params params);
void __real_llama_model_free(llama_model* model);
void __real_ggml_backend_tensor_set(ggml_tensor* tensor, const void* data, std::size_t offset,
                                    std::size_t size);
}

namespace switchyard::engine {
std::vector<std::string> split_files(const std::string& path) {
  int number = 0;
  int count = 0;
  const std::size_t dash = path.rfind("-00001-of-");
  if (dash == std::string::npos || std::sscanf(path.c_str() + dash, "-%5d-of-%5d", &number, &count) != 2) {
    return {path};
  }
  std::vector<std::string> files;
  for (int i = 1; i <= count; ++i) {
    files.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", path.substr(0, dash), i, count));
  }
  return files;
}

namespace {

/// path, size, mtime and inode of one file; empty when it cannot be read.
std::string file_identity(const std::string& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) return {};
  return fmt::format("{}|{}|{}.{}|{}", path, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino);
}

/// A part of a model's files in this process's memory.
struct Mapping {
  AddressRange range;
  std::size_t file = 0;  ///< its place among split_files()
};

std::vector<Mapping> mappings_of_model(const std::string& path) {
  std::vector<Mapping> all;
  const std::vector<std::string> files = split_files(path);
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (const AddressRange& range : mappings_of(files[i])) all.push_back({.range = range, .file = i});
  }
  return all;
}

std::vector<AddressRange> ranges_of(const std::vector<Mapping>& mappings) {
  std::vector<AddressRange> ranges;
  for (const Mapping& mapping : mappings) ranges.push_back(mapping.range);
  return ranges;
}

constexpr std::size_t kLeastHole = std::size_t{256} << 10;  // every hole costs the kernel two more mappings

/// What a load leaves beside its model.
struct Pages {
  std::vector<AddressRange> tensors;    ///< the parts of the mapped files that are in use
  std::shared_ptr<MappingGuard> guard;  ///< of the mapped files; null where nothing is mapped
  std::shared_ptr<RepackedWeights> repacked;
};

struct Entry {
  enum class Phase { kLoading, kReady } phase = Phase::kLoading;
  std::string path;
  llama_model* model = nullptr;
  std::size_t holds = 0;
  Pages pages;
};

/// The store. Invariant: an entry in kReady has a model and at least one hold; one in kLoading
/// belongs to the one thread that loads it, which removes it or makes it ready.
/// Lock order: nothing is called with mutex held, neither llama.cpp nor the system.
struct Store {
  Mutex mutex;
  CondVar changed;
  std::map<std::string, Entry> entries GUARDED_BY(mutex);
};

Store& store() {
  static Store* const instance = new Store;  // outlives every static that may free a model
  return *instance;
}

/// Gives up one hold; frees the model with the last one.
void drop_hold(const std::string& key) {
  llama_model* last = nullptr;
  Pages pages;  // ends before the mappings do
  {
    Store& s = store();
    const MutexLock lock(s.mutex);
    const auto it = s.entries.find(key);
    if (it == s.entries.end() || --it->second.holds > 0) return;
    last = it->second.model;
    pages = std::move(it->second.pages);
    s.entries.erase(it);
  }
  pages = {};
  __real_llama_model_free(last);
}

Pages pages_of_model(const std::string& key) {
  Store& s = store();
  const MutexLock lock(s.mutex);
  return s.entries.at(key).pages;
}

/// Holds on several entries of the store.
class StoredWeights final : public Weights {
 public:
  explicit StoredWeights(std::map<std::string, std::string> path_of_key)
      : path_of_key_(std::move(path_of_key)) {
    Store& s = store();
    const MutexLock lock(s.mutex);
    for (const auto& [key, path] : path_of_key_) ++s.entries.at(key).holds;
  }
  ~StoredWeights() override {
    for (const auto& [key, path] : path_of_key_) drop_hold(key);
  }
  StoredWeights(const StoredWeights&) = delete;
  StoredWeights& operator=(const StoredWeights&) = delete;

  ByteSize release_pages() override {
    ByteSize dropped;
    // The pages stay in the page cache, and the mappings are read-only: nothing can be lost.
    for (const auto& [key, path] : path_of_key_) {
      const Pages pages = pages_of_model(key);
      dropped += ByteSize(advise(pages.tensors, MADV_DONTNEED));
      pages.repacked->drop();
    }
    return dropped;
  }
  [[nodiscard]] bool copies_dropped() const override {
    return std::ranges::all_of(path_of_key_,
                               [](const auto& one) { return pages_of_model(one.first).repacked->dropped(); });
  }

 private:
  const std::map<std::string, std::string> path_of_key_;
};

std::string override_text(const llama_model_kv_override& o) {
  switch (o.tag) {
    case LLAMA_KV_OVERRIDE_TYPE_INT: return fmt::format("{}={}", o.key, o.val_i64);
    case LLAMA_KV_OVERRIDE_TYPE_FLOAT: return fmt::format("{}={}", o.key, o.val_f64);
    case LLAMA_KV_OVERRIDE_TYPE_BOOL: return fmt::format("{}={}", o.key, o.val_bool);
    case LLAMA_KV_OVERRIDE_TYPE_STR: return fmt::format("{}={}", o.key, o.val_str);
  }
  return {};
}

}  // namespace

std::string weights_key(const std::string& path, const llama_model_params& p) {
  std::string key;
  for (const std::string& file : split_files(path)) {
    const std::string identity = file_identity(file);
    if (identity.empty()) return {};
    key += identity + ';';
  }
  key += fmt::format("ngl={} split={} load={} lazy={} main={} flags={}{}{}{};", p.n_gpu_layers,
                     static_cast<int>(p.split_mode), static_cast<int>(p.load_mode),
                     static_cast<int>(p.lazy_mode), p.main_gpu, p.check_tensors ? 1 : 0,
                     p.use_extra_bufts ? 1 : 0, p.no_host ? 1 : 0, p.load_mtp ? 1 : 0);
  for (const ggml_backend_dev_t* d = p.devices; d != nullptr && *d != nullptr; ++d) {
    key += fmt::format("dev={};", ggml_backend_dev_name(*d));
  }
  if (p.tensor_split != nullptr) {
    for (std::size_t i = 0; i < llama_max_devices(); ++i) {
      if (p.tensor_split[i] != 0) key += fmt::format("ts{}={};", i, p.tensor_split[i]);
    }
  }
  for (const auto* o = p.kv_overrides; o != nullptr && o->key[0] != 0; ++o) key += override_text(*o) + ';';
  for (const auto* o = p.tensor_buft_overrides; o != nullptr && o->pattern != nullptr; ++o) {
    key += fmt::format("{}->{};", o->pattern, o->buft ? ggml_backend_buft_name(o->buft) : "");
  }
  return key;
}

struct WeightsScope::State {
  std::stop_token stop;
  std::string path;
  std::string inspected_key;
  bool file_changed = false;
  bool file_damaged = false;
  std::string loading;                        // the path of the load in progress
  std::vector<Mapping> mappings;              // its files' mappings, once they are there
  std::unique_ptr<MappingGuard> guard;        // of these
  std::shared_ptr<RepackedWeights> repacked;  // what was copied out of them
  std::vector<std::jthread> populating;  // page tables of found weights, filled while the context is made
  std::map<std::string, std::string> path_of_key;  // one hold each, given up by the destructor
};

namespace {

thread_local WeightsScope::State* current_scope = nullptr;

/// Stands between llama.cpp's loader and the caller's own progress callback; lives for one load.
struct ProgressChain {
  llama_progress_callback next;
  void* next_data;
  WeightsScope::State& scope;
  bool is_mapped;
};

/// Looks for the mappings of the load in progress until they are there, and guards them.
void watch_mappings(WeightsScope::State& scope) {
  if (!scope.mappings.empty() || scope.loading.empty()) return;
  scope.mappings = mappings_of_model(scope.loading);
  if (scope.mappings.empty()) return;
  scope.guard = std::make_unique<MappingGuard>(split_files(scope.loading), ranges_of(scope.mappings));
}

/// llama.cpp calls it before it reads a tensor.
bool on_progress(float value, void* data) {
  const auto* chain = static_cast<ProgressChain*>(data);
  if (chain->scope.stop.stop_requested()) return false;
  if (chain->is_mapped) watch_mappings(chain->scope);
  return chain->next == nullptr || chain->next(value, chain->next_data);
}

/// The model of `key`: found (one hold added) or, when this thread has to load it, null with an
/// entry in kLoading. Waits while another thread loads the same.
llama_model* find_or_claim(const std::string& key, const std::string& path) {
  Store& s = store();
  const MutexLock lock(s.mutex);
  while (true) {
    const auto [it, inserted] = s.entries.try_emplace(key);
    if (inserted) {
      it->second.path = path;
      return nullptr;
    }
    if (it->second.phase == Entry::Phase::kReady) {
      ++it->second.holds;
      return it->second.model;
    }
    s.changed.wait(s.mutex);
  }
}

/// Ends what find_or_claim began: `model` becomes ready with `holds` holds, or null removes the entry.
void settle_claim(const std::string& key, llama_model* model, std::size_t holds, Pages pages) {
  Store& s = store();
  const MutexLock lock(s.mutex);
  if (model == nullptr) {
    s.entries.erase(key);
  } else {
    Entry& entry = s.entries.at(key);
    entry.model = model;
    entry.holds = holds;
    entry.pages = std::move(pages);
    entry.phase = Entry::Phase::kReady;
  }
  s.changed.notify_all();
}

void add_hold(const std::string& key) {
  Store& s = store();
  const MutexLock lock(s.mutex);
  ++s.entries.at(key).holds;
}

bool lies_in(const std::vector<AddressRange>& ranges, const AddressRange& part) {
  return std::ranges::any_of(
      ranges, [&](const AddressRange& range) { return range.begin <= part.begin && part.end <= range.end; });
}

/// Keeps of the mapped files of a `model` just loaded what is a tensor, and guards it.
/// What was copied out is closed: a fault in a tensor maps what lies around it, too, and were the copied
/// bytes still mapped they would come back one by one. A tensor that was copied and is used as well
/// (embeddings that are the output matrix) comes back now.
Pages keep_tensors(const llama_model* model, const std::string& path) {
  std::vector<AddressRange> mappings = ranges_of(mappings_of_model(path));
  std::vector<AddressRange> tensors;
  for (const auto& [name, tensor] : llama_internal_get_tensor_map(model)) {
    const AddressRange pages = pages_of(tensor->data, ggml_nbytes(tensor));
    if (lies_in(mappings, pages)) tensors.push_back(pages);
  }
  std::erase_if(mappings, [&](const AddressRange& mapping) {  // those of another load of the same file
    return std::ranges::none_of(tensors, [&](const AddressRange& t) { return lies_in({mapping}, t); });
  });
  for (const AddressRange& hole : without(mappings, tensors)) {
    if (hole.end - hole.begin >= kLeastHole) close_off(hole);
  }
  advise(tensors, MADV_POPULATE_READ);
  if (mappings.empty()) return {};
  return {.tensors = std::move(tensors),
          .guard = std::make_shared<MappingGuard>(split_files(path), mappings),
          .repacked = nullptr};
}

/// llama.cpp has copied `size` bytes at `data` into a buffer (repacked, or on a GPU). Where they lie in the
/// mapped file, their pages are given back at once, so that a load is never there twice.
void give_back_copied(WeightsScope::State& scope, ggml_tensor* tensor, const void* data, std::size_t size) {
  watch_mappings(scope);
  const AddressRange pages = pages_of(data, size);
  const auto mapping =
      std::ranges::find_if(scope.mappings, [&](const Mapping& one) { return lies_in({one.range}, pages); });
  if (mapping == scope.mappings.end()) return;
  // Every file is mapped from its first byte on.
  const auto offset = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(data) - mapping->range.begin);
  if (size == ggml_nbytes(tensor)) scope.repacked->copied(tensor, mapping->file, offset, data);
  advise({pages}, MADV_DONTNEED);
}

llama_model* load_through_store(WeightsScope::State& scope, const char* path, llama_model_params params) {
  const bool is_mapped = params.load_mode == LLAMA_LOAD_MODE_AUTO ||
                         params.load_mode == LLAMA_LOAD_MODE_MMAP ||
                         params.load_mode == LLAMA_LOAD_MODE_MMAP_MLOCK;
  ProgressChain chain{params.progress_callback, params.progress_callback_user_data, scope, is_mapped};
  std::string key = weights_key(path, params);
  if (path == scope.path && key != scope.inspected_key) {
    if (!weights_are_held(scope.inspected_key)) {
      scope.file_changed = true;
      return nullptr;
    }
    key = scope.inspected_key;
  }
  params.progress_callback = on_progress;
  params.progress_callback_user_data = &chain;
  if (key.empty()) return __real_llama_model_load_from_file(path, params);

  // Each load has one hold for its caller (given up by llama_model_free) and one for the scope.
  const bool first_in_scope = !scope.path_of_key.contains(key);
  if (llama_model* found = find_or_claim(key, path)) {
    if (first_in_scope) add_hold(key);
    scope.path_of_key.emplace(key, path);
    const Pages pages = pages_of_model(key);
    if (params.load_mode == LLAMA_LOAD_MODE_AUTO || params.load_mode == LLAMA_LOAD_MODE_MMAP) {
      scope.populating.emplace_back([tensors = pages.tensors] { advise(tensors, MADV_POPULATE_READ); });
    }
    if (!pages.repacked->make_again()) {
      drop_hold(key);  // the caller's
      scope.file_changed = true;
      return nullptr;
    }
    on_progress(1.0F, &chain);
    return found;
  }
  scope.loading = path;
  scope.repacked = std::make_shared<RepackedWeights>(split_files(path));
  llama_model* model = __real_llama_model_load_from_file(path, params);
  scope.loading.clear();
  scope.mappings.clear();
  Pages pages = model == nullptr ? Pages() : keep_tensors(model, path);
  pages.repacked = std::move(scope.repacked);
  scope.file_damaged |= scope.guard != nullptr && scope.guard->damaged();
  scope.guard.reset();
  if (scope.file_damaged && model != nullptr) {
    pages = {};
    __real_llama_model_free(std::exchange(model, nullptr));
  }
  settle_claim(key, model, 2, std::move(pages));
  if (model != nullptr) scope.path_of_key.emplace(key, path);
  return model;
}

}  // namespace

WeightsScope::WeightsScope(std::stop_token stop, std::string path, std::string key)
    : state_(std::make_unique<State>()) {
  state_->stop = std::move(stop);
  state_->path = std::move(path);
  state_->inspected_key = std::move(key);
  current_scope = state_.get();
}

WeightsScope::~WeightsScope() {
  current_scope = nullptr;
  state_->populating.clear();  // joins
  for (const auto& [key, path] : state_->path_of_key) drop_hold(key);
}

std::shared_ptr<Weights> WeightsScope::keep() { return std::make_shared<StoredWeights>(state_->path_of_key); }

bool WeightsScope::file_changed() const { return state_->file_changed; }
bool WeightsScope::file_damaged() const { return state_->file_damaged; }

bool weights_are_damaged(const llama_model* model) {
  std::shared_ptr<MappingGuard> guard;
  {
    Store& s = store();
    const MutexLock lock(s.mutex);
    const auto is_of_model = [&](const auto& entry) { return entry.second.model == model; };
    const auto it = std::ranges::find_if(s.entries, is_of_model);
    if (it != s.entries.end()) guard = it->second.pages.guard;
  }
  return guard != nullptr && guard->damaged();
}

bool weights_are_held(const std::string& key) {
  const llama_model* model = nullptr;
  {
    Store& s = store();
    const MutexLock lock(s.mutex);
    const auto it = s.entries.find(key);
    if (it == s.entries.end() || it->second.phase != Entry::Phase::kReady) return false;
    model = it->second.model;
  }
  return !weights_are_damaged(model);
}

std::size_t stored_models() {
  Store& s = store();
  const MutexLock lock(s.mutex);
  return s.entries.size();
}

}  // namespace switchyard::engine

extern "C" {

llama_model* __wrap_llama_model_load_from_file(const char* path, llama_model_params params) {
  using namespace switchyard::engine;
  if (current_scope == nullptr || params.no_alloc || params.vocab_only || path == nullptr) {
    return __real_llama_model_load_from_file(path, params);
  }
  return load_through_store(*current_scope, path, params);
}

void __wrap_llama_model_free(llama_model* model) {
  using namespace switchyard::engine;
  if (model == nullptr) return;
  std::string key;
  {
    Store& s = store();
    const switchyard::MutexLock lock(s.mutex);
    for (const auto& [k, entry] : s.entries) {
      if (entry.model == model) key = k;
    }
  }
  if (key.empty()) {
    __real_llama_model_free(model);
  } else {
    drop_hold(key);
  }
}

void __wrap_ggml_backend_tensor_set(ggml_tensor* tensor, const void* data, std::size_t offset,
                                    std::size_t size) {
  using namespace switchyard::engine;
  const bool loading = current_scope != nullptr && !current_scope->loading.empty();
  if (!loading) return __real_ggml_backend_tensor_set(tensor, data, offset, size);
  share_openmp_threads();
  __real_ggml_backend_tensor_set(tensor, data, offset, size);
  give_back_copied(*current_scope, tensor, data, size);
}
}
