#include "registry/merge.h"

#include <algorithm>
#include <charconv>

namespace switchyard::registry {
namespace {

using store::VersionRow;

engine::ModelSpec spec_of(const VersionRow& row) {
  return {.model = row.model,
          .version = row.version,
          .reply_name = row.model,
          .args = row.args,
          .sha256 = row.sha256,
          .file_stamp = row.stamp};
}

/// One model's versions.
class ModelMerge {
 public:
  ModelMerge(const models::ModelDefinition& configured, std::vector<VersionRow> known,
             const Surroundings& around, Merged& merged)
      : configured_(configured), known_(std::move(known)), around_(around), merged_(merged) {}

  void run() {
    models::ModelDefinition model = configured_;
    model.versions.clear();
    for (const engine::ModelSpec& spec : configured_.versions) add_configured(spec, model.versions);
    for (const VersionRow& row : known_) {
      if (row.origin.empty()) add_registered(row, model.versions);
    }
    for (engine::ModelSpec& spec : model.versions) {  // where engines live is said of the model as a whole
      spec.isolation = configured_.versions.front().isolation;
      spec.worker = configured_.versions.front().worker;
    }
    merged_.models.push_back(std::move(model));
  }

 private:
  [[nodiscard]] models::VersionRef ref(const std::string& version) const { return {configured_.id, version}; }

  void add_configured(const engine::ModelSpec& spec, std::vector<engine::ModelSpec>& out) {
    std::vector<VersionRow*> chain;  // what has been under this configured name, oldest first
    for (VersionRow& row : known_) {
      if (row.origin == spec.version) chain.push_back(&row);
    }
    VersionRow now;
    if (!chain.empty()) now = *chain.back();
    const bool is_replaced =
        !chain.empty() && !spec.file_stamp.empty() && !now.stamp.empty() && now.stamp != spec.file_stamp;
    if (chain.empty() || is_replaced) {
      now = {.model = configured_.id,
             .version = free_name(spec.version),
             .origin = spec.version,
             .args = {},
             .stamp = {},
             .sha256 = {},
             .notes = {},
             .added_by = configured_.source == "models_dir" ? "models-dir" : configured_.source,
             .added = around_.now};
    }
    const bool changed = now.id == 0 || now.args != spec.args || now.sha256 != spec.sha256 ||
                         (now.stamp.empty() && !spec.file_stamp.empty());
    now.args = spec.args;
    now.sha256 = spec.sha256;
    if (!spec.file_stamp.empty()) now.stamp = spec.file_stamp;
    for (const VersionRow* old : chain) {
      if (old->version == now.version) continue;
      merged_.successors[ref(old->version)] = ref(now.version);
      if (around_.in_memory(ref(old->version))) out.push_back(spec_of(*old));
    }
    engine::ModelSpec current = spec;
    current.version = now.version;
    out.push_back(std::move(current));
    merged_.means[ref(spec.version)] = ref(now.version);
    if (!changed) return;
    merged_.rows.push_back(now);
    const auto same = std::ranges::find(known_, now.version, &VersionRow::version);
    if (same == known_.end()) {
      known_.push_back(now);
    } else {
      *same = now;
    }
  }

  void add_registered(const VersionRow& row, std::vector<engine::ModelSpec>& out) {
    const auto file = row.args.find("model");
    const bool is_there = file != row.args.end() && around_.stamp_of(file->second) == row.stamp;
    if (is_there || around_.in_memory(ref(row.version))) out.push_back(spec_of(row));
  }

  /// The configured name, unless something else has had it: versions do not change.
  [[nodiscard]] std::string free_name(const std::string& wanted) const {
    std::vector<std::string> taken;
    for (const VersionRow& row : known_) taken.push_back(row.version);
    if (std::ranges::count(taken, wanted) == 0) return wanted;
    for (const engine::ModelSpec& spec : configured_.versions) taken.push_back(spec.version);
    return next_number(taken);
  }

  const models::ModelDefinition& configured_;
  std::vector<VersionRow> known_;
  const Surroundings& around_;
  Merged& merged_;
};

}  // namespace

std::string next_number(const std::vector<std::string>& names) {
  unsigned long most = 0;
  for (const std::string& name : names) {
    unsigned long number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) most = std::max(most, number);
  }
  return std::to_string(most + 1);
}

Merged merge(const std::vector<models::ModelDefinition>& configured,
             const std::vector<VersionRow>& registered, const Surroundings& around) {
  Merged merged;
  for (const models::ModelDefinition& model : configured) {
    std::vector<VersionRow> known;
    std::ranges::copy_if(registered, std::back_inserter(known),
                         [&](const VersionRow& row) { return row.model == model.id; });
    ModelMerge(model, std::move(known), around, merged).run();
  }
  return merged;
}

}  // namespace switchyard::registry
