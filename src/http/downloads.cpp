#include "http/downloads.h"

#include <chrono>
#include <future>
#include <optional>
#include <utility>

#include "telemetry/log.h"

namespace switchyard::http {
namespace {
const Error kNoDownloads{
    ErrorCode::kUnimplemented,
    "this server downloads nothing (-m or --offline): put the file into the models folder"};
constexpr Duration kTellEvery = std::chrono::milliseconds(100);  // as llama-server does
}  // namespace

bool DownloadTally::note(const engine::DownloadProgress& progress, TimePoint now) {
  const bool is_new = files_.insert_or_assign(progress.url, progress).second;
  const bool ended = progress.total != 0 && progress.downloaded >= progress.total;
  if (!is_new && !ended && now - told_ < kTellEvery) return false;
  told_ = now;
  return true;
}

telemetry::Event DownloadTally::event() const {
  telemetry::Event event;
  event.type = "download_progress";
  for (const auto& [url, file] : files_) {
    const auto done = static_cast<double>(file.downloaded), total = static_cast<double>(file.total);
    event.parts[url] = {{"done", done}, {"total", total}};
    event.numbers["downloaded"] += done;
    event.numbers["total"] += total;
  }
  return event;
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
  Mutex tally_mutex;  // several files are fetched at once
  DownloadTally tally;
  const auto fetched =
      services_.options.downloads.download(repo, [&](const engine::DownloadProgress& progress) {
        std::optional<telemetry::Event> event;
        {
          const MutexLock lock(tally_mutex);
          if (tally.note(progress, Clock::steady().now())) event = tally.event();
        }
        if (event) {
          event->model = repo;
          services_.events.publish(std::move(*event));
        }
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
  if (model->definition->source != "cache") {
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
  if (auto removed = services_.options.downloads.remove(model->definition->id); !removed) return removed;
  if (services_.options.reload_catalog) {
    if (auto reloaded = services_.options.reload_catalog(); !reloaded) return reloaded;
  }
  publish("model_remove", model->definition->id);
  return {};
}

std::vector<std::string> Downloads::running() const {
  std::vector<std::string> names;
  const MutexLock lock(mutex_);
  for (const auto& [repo, cancelled] : running_) names.push_back(repo);
  return names;
}

std::optional<Error> Downloads::why_not_ready(const std::string& name) const {
  const MutexLock lock(mutex_);
  if (!running_.contains(name)) return std::nullopt;
  // llama-server's words, with what to wait for.
  return Error{ErrorCode::kInvalidArgument, "model name=" + name + " is not running: it is being downloaded"};
}

void Downloads::publish(std::string type, const std::string& repo) {
  telemetry::Event event;
  event.type = std::move(type);
  event.model = repo;
  services_.events.publish(std::move(event));
}

}  // namespace switchyard::http
