#include "switchyard/model_manager.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/host_memory.h"
#include "engine/in_process.h"
#include "library/core.h"
#include "library/helper_path.h"

namespace switchyard {

std::string_view to_string(ModelState state) noexcept {
  return models::to_string(static_cast<models::State>(state));
}

Result<ModelManager> ModelManager::create(ModelManagerOptions options) {
  auto helper = library::find_helper(options.helper_path);
  if (!helper) return std::unexpected(helper.error());
  engine::LoaderOptions loader{.helper_path = std::move(*helper)};
  loader.threads = options.threads;
  std::string state_path;
  if (!options.data_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.data_dir, error);
    if (error) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("data_dir '{}' cannot be made", options.data_dir),
                  error.message());
    }
    loader.conversations.folder = (std::filesystem::path(options.data_dir) / "conversations").string();
    loader.cache_path = (std::filesystem::path(options.data_dir) / "inspections.db").string();
    state_path = (std::filesystem::path(options.data_dir) / "state.sqlite").string();
  }
  models::Limits limits;
  limits.models_max = options.models_max;
  limits.max_wait = options.max_wait;
  limits.memory_budget =
      options.memory_budget > ByteSize(0) ? options.memory_budget : default_memory_budget();
  limits.conversations = options.conversations_memory.value_or(
      std::min(ByteSize::mib(256), ByteSize(limits.memory_budget.bytes() / 16)));
  if (limits.conversations >= limits.memory_budget) {
    return fail(ErrorCode::kInvalidArgument, "conversations_memory must be less than the memory budget");
  }
  loader.conversations.memory = limits.conversations;
  loader.conversations.disk = options.conversations_disk;
  return ModelManager(
      std::make_shared<library::Core>(engine::make_loader(std::move(loader)), limits, state_path));
}

ModelManager::ModelManager(std::shared_ptr<library::Core> core) : core_(std::move(core)) {}
ModelManager::ModelManager(ModelManager&&) noexcept = default;
ModelManager& ModelManager::operator=(ModelManager&&) noexcept = default;
ModelManager::~ModelManager() = default;

Status ModelManager::add_model(const ModelConfig& config) { return core_->add_model(config); }
Status ModelManager::load_model(std::string_view name, const LoadOptions& options) {
  return core_->load(name, options);
}
Status ModelManager::unload_model(std::string_view name) { return core_->unload(name); }
Status ModelManager::switch_model(std::string_view alias, std::string_view to, const SwitchOptions& options) {
  return core_->switch_model(alias, to, options);
}
Status ModelManager::rollback(std::string_view alias, const SwitchOptions& options) {
  return core_->rollback(alias, options);
}
Result<std::vector<SwitchRecord>> ModelManager::history(std::string_view alias, std::size_t limit) const {
  return core_->history(alias, limit);
}
Status ModelManager::park(std::string_view name) { return core_->park(name); }
Status ModelManager::resume(std::string_view name) { return core_->resume(name); }
Status ModelManager::pin(std::string_view name, bool pinned) { return core_->pin(name, pinned); }
std::vector<ModelInfo> ModelManager::list() const { return core_->list(); }
std::map<std::string, std::string> ModelManager::aliases() const { return core_->aliases(); }
Result<Lease> ModelManager::acquire(std::string_view name, std::stop_token stop) {
  return core_->acquire(name, std::move(stop));
}

}  // namespace switchyard
