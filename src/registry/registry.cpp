#include "registry/registry.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>

namespace switchyard::registry {
namespace {

std::int64_t now_ms() {
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

std::string file_of(const store::VersionRow& row) {
  const auto file = row.args.find("model");
  return file == row.args.end() ? std::string() : file->second;
}

class GuardedLoader final : public engine::EngineLoader {
 public:
  GuardedLoader(engine::EngineLoader& inner, const Registry& registry) : inner_(inner), registry_(registry) {}

  /// Before every load that reads the file.
  [[nodiscard]] Result<engine::Inspection> inspect(const engine::ModelSpec& spec,
                                                   const engine::InspectOptions& options,
                                                   std::stop_token stop) override {
    const models::VersionRef ref{spec.model, spec.version};
    if (const auto now = registry_.successor(ref)) {
      return fail(ErrorCode::kNotFound, fmt::format("the file of '{}' has been replaced and is '{}' now",
                                                    ref.to_string(), now->to_string()));
    }
    return inner_.inspect(spec, options, std::move(stop));
  }
  [[nodiscard]] Result<std::unique_ptr<engine::Engine>> load(
      const engine::ModelSpec& spec, const engine::Inspection& inspection,
      const std::function<void(const engine::LoadProgress&)>& progress, std::stop_token stop) override {
    return inner_.load(spec, inspection, progress, std::move(stop));
  }
  void prefetch(const engine::ModelSpec& spec, std::stop_token stop) override {
    inner_.prefetch(spec, std::move(stop));
  }
  void forget(const std::string& model, const std::string& version) override {
    inner_.forget(model, version);
  }
  void forget_all_but(const std::map<std::string, std::vector<std::string>>& versions) override {
    inner_.forget_all_but(versions);
  }
  [[nodiscard]] engine::ConversationStats conversations() const override { return inner_.conversations(); }

 private:
  engine::EngineLoader& inner_;
  const Registry& registry_;
};

}  // namespace

std::string file_stamp(const std::string& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) return {};
  return fmt::format("{}:{}.{:09}:{}", st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino);
}

std::unique_ptr<engine::EngineLoader> guard_loader(engine::EngineLoader& inner, const Registry& registry) {
  return std::make_unique<GuardedLoader>(inner, registry);
}

Registry::Registry(store::StateDatabase& state) : store_(state), hasher_(store_) {}

Result<Merged> Registry::apply(const std::vector<models::ModelDefinition>& configured,
                               const models::Manager& manager) {
  const auto rows = store_.versions();
  if (!rows) return std::unexpected(rows.error());
  Merged merged = merge(configured, *rows,
                        {.in_memory =
                             [&](const models::VersionRef& ref) {
                               const auto standing = manager.standing(ref);
                               return standing && standing->state != models::State::kCold &&
                                      standing->state != models::State::kFailed;
                             },
                         .stamp_of = file_stamp,
                         .now = now_ms()});
  if (const Status kept = store_.put(merged.rows); !kept) return std::unexpected(kept.error());
  for (const models::ModelDefinition& model : merged.models) {
    for (const engine::ModelSpec& spec : model.versions) {
      const auto file = spec.args.find("model");
      const bool is_current = !merged.successors.contains({model.id, spec.version});
      if (file != spec.args.end() && is_current) hasher_.want(file->second, spec.file_stamp);
    }
  }
  const MutexLock lock(mutex_);
  successors_ = merged.successors;
  return merged;
}

VersionInfo Registry::info_of(const store::VersionRow& row) {
  const models::VersionRef ref{row.model, row.version};
  VersionInfo info{.ref = ref,
                   .file = file_of(row),
                   .args = row.args,
                   .sha256 = store_.hash(file_of(row), row.stamp).value_or(""),
                   .pinned_sha256 = row.sha256,
                   .notes = row.notes,
                   .added_by = row.added_by,
                   .added = row.added,
                   .by_call = row.origin.empty()};
  info.replaced_by = successor(ref);
  return info;
}

Result<std::vector<VersionInfo>> Registry::list(const std::string& model) {
  const auto rows = store_.versions();
  if (!rows) return std::unexpected(rows.error());
  std::vector<VersionInfo> all;
  for (const store::VersionRow& row : *rows) {
    if (row.model == model) all.push_back(info_of(row));
  }
  return all;
}

Result<VersionInfo> Registry::describe(const models::VersionRef& ref) {
  const auto all = list(ref.model);
  if (!all) return std::unexpected(all.error());
  const auto found = std::ranges::find(*all, ref, &VersionInfo::ref);
  if (found == all->end()) return fail(ErrorCode::kNotFound, "there is no version '" + ref.to_string() + "'");
  return *found;
}

Result<models::VersionRef> Registry::add(engine::ModelSpec spec, const std::string& notes,
                                         const std::string& who) {
  const auto rows = store_.versions();
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::string> taken;
  for (const store::VersionRow& row : *rows) {
    if (row.model == spec.model) taken.push_back(row.version);
  }
  if (spec.version.empty()) spec.version = next_number(taken);
  models::VersionRef ref{spec.model, spec.version};
  if (std::ranges::count(taken, spec.version) > 0) {
    return fail(ErrorCode::kConflict,
                "there is a version '" + ref.to_string() + "' already, and versions do not change");
  }
  std::vector<store::VersionRow> added(1);
  added[0].model = ref.model;
  added[0].version = ref.version;
  added[0].args = spec.args;
  added[0].stamp = spec.file_stamp;
  added[0].sha256 = spec.sha256;
  added[0].notes = notes;
  added[0].added_by = who;
  added[0].added = now_ms();
  if (const Status kept = store_.put(added); !kept) return std::unexpected(kept.error());
  return ref;
}

Status Registry::remove(const models::VersionRef& ref) {
  const auto rows = store_.versions();
  if (!rows) return std::unexpected(rows.error());
  const auto found = std::ranges::find_if(*rows, [&](const store::VersionRow& row) {
    return row.model == ref.model && row.version == ref.version;
  });
  if (found == rows->end())
    return fail(ErrorCode::kNotFound, "there is no version '" + ref.to_string() + "'");
  if (!found->origin.empty() && !successor(ref)) {
    return fail(ErrorCode::kConflict,
                "'" + ref.to_string() + "' is there because of the " +
                    (found->added_by == "models-dir" ? "models folder" : "configuration") +
                    ": remove it there");
  }
  return store_.remove(found->id);
}

std::optional<models::VersionRef> Registry::successor(const models::VersionRef& ref) const {
  const MutexLock lock(mutex_);
  const auto found = successors_.find(ref);
  if (found == successors_.end()) return std::nullopt;
  return found->second;
}

}  // namespace switchyard::registry
