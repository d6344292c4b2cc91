#include "http/downloads.h"

#include <future>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::http {
namespace {
const Error kNoDownloads{ErrorCode::kUnimplemented,
                         "this server was started without downloads: put the file into the models folder"};
}

void Downloads::cancel_all() {
  const MutexLock lock(mutex_);
  for (const auto& [repo, cancelled] : running_) *cancelled = true;
}

Status Downloads::start(const std::string& repo) {
  if (repo.empty()) return fail(ErrorCode::kInvalidArgument, "model must be a non-empty string");
  if (!services_.options.downloads.download || !services_.options.downloads.check) {
    return std::unexpected(kNoDownloads);
  }
  if (const auto found = services_.options.downloads.check(repo); !found) {
    Error error = found.error();
    // llama-server's answer for whatever it cannot fetch.
    if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kInvalidArgument;
    return std::unexpected(std::move(error));
  }
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  {
    const bool catalogued = services_.manager.resolve(repo).has_value();
    const MutexLock lock(mutex_);
    if (catalogued || !running_.emplace(repo, cancelled).second) {
      return fail(ErrorCode::kInvalidArgument, "model '" + repo + "' already exists");
    }
  }
  publish("download_started", repo);
  services_.executor.post([this, repo, cancelled] { fetch(repo, cancelled); });
  return {};
}

void Downloads::fetch(const std::string& repo, const std::shared_ptr<std::atomic<bool>>& cancelled) {
  const auto fetched =
      services_.options.downloads.download(repo, [&](const engine::DownloadProgress& progress) {
        publish("download_progress", repo, progress);
        return !cancelled->load();
      });
  if (fetched) {
    if (services_.options.reload_catalog) {
      if (const auto reloaded = services_.options.reload_catalog(); !reloaded) {
        telemetry::log_warning("http", "{} was fetched, but the catalog could not be read again: {}", repo,
                               reloaded.error().to_string());
      }
    }
  } else {
    telemetry::log_warning("http", "download of {} failed: {}", repo, fetched.error().to_string());
  }
  {
    const MutexLock lock(mutex_);
    running_.erase(repo);
  }
  publish(fetched ? "download_finished" : "download_failed", repo);
}

bool Downloads::cancel(const std::string& repo) {
  const MutexLock lock(mutex_);
  const auto found = running_.find(repo);
  if (found == running_.end()) return false;
  *found->second = true;
  return true;
}

Status Downloads::remove(const std::string& name) {
  if (name.empty()) return fail(ErrorCode::kInvalidArgument, "model must be a non-empty string");
  if (!services_.options.downloads.remove) return std::unexpected(kNoDownloads);
  if (cancel(name)) return {};
  const auto ref = services_.manager.resolve(name);
  if (!ref) return std::unexpected(ref.error());
  const auto model = services_.manager.describe(ref->model);
  if (!model) return std::unexpected(model.error());
  if (model->definition.source != "cache") {
    return fail(ErrorCode::kInvalidArgument, "model name=" + name + " is not removable (not from cache)");
  }
  for (const auto& version : model->versions) {
    std::promise<Status> unloaded;
    if (auto begun =
            services_.manager.unload(version.ref, [&](Status s) { unloaded.set_value(std::move(s)); });
        !begun) {
      return begun;
    }
    if (auto done = unloaded.get_future().get(); !done) return done;
  }
  if (auto removed = services_.options.downloads.remove(model->definition.id); !removed) return removed;
  if (services_.options.reload_catalog) {
    if (auto reloaded = services_.options.reload_catalog(); !reloaded) return reloaded;
  }
  publish("model_remove", model->definition.id);
  return {};
}

std::vector<std::string> Downloads::running() const {
  std::vector<std::string> names;
  const MutexLock lock(mutex_);
  for (const auto& [repo, cancelled] : running_) names.push_back(repo);
  return names;
}

void Downloads::publish(std::string type, const std::string& repo, const engine::DownloadProgress& progress) {
  telemetry::Event event;
  event.type = std::move(type);
  event.model = repo;
  if (!progress.url.empty()) {
    event.text["url"] = progress.url;
    event.numbers["downloaded"] = static_cast<double>(progress.downloaded);
    event.numbers["total"] = static_cast<double>(progress.total);
  }
  services_.events.publish(std::move(event));
}

}  // namespace switchyard::http
