#include "cli/download_progress.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <mutex>

#include "cli/terminal.h"
#include "engine/download.h"

namespace switchyard::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// Adds up the files of one model, which llama.cpp fetches side by side.
class Progress {
 public:
  explicit Progress(std::string repo) : repo_(std::move(repo)) {}

  void update(const engine::DownloadProgress& p) {
    const std::scoped_lock lock(mutex_);
    files_[p.url] = {p.downloaded, p.total};
    std::uint64_t done = 0, total = 0;
    for (const auto& [url, file] : files_) {
      done += file.first;
      total += file.second;
    }
    if (total == 0) return;
    const double fraction = static_cast<double>(done) / static_cast<double>(total);
    if (line_.active())
      show(fraction, done, total);
    else if (const int tenth = static_cast<int>(fraction * 10); tenth > last_tenth_) {
      last_tenth_ = tenth;
      fmt::print(stderr, "{}: {} % of {}\n", repo_, tenth * 10, ByteSize(total).to_string());
    }
  }

 private:
  void show(double fraction, std::uint64_t done, std::uint64_t total) {
    const auto now = SteadyClock::now();
    if (fraction < 1 && now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(done) / std::max(seconds, 0.001));
    line_.show(fmt::format("{} {} of {}, {}/s", format_bar(fraction), ByteSize(done).to_string(),
                           ByteSize(total).to_string(), ByteSize(rate).to_string()));
  }

  const std::string repo_;
  const SteadyClock::time_point began_ = SteadyClock::now();
  std::mutex mutex_;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> files_;
  SteadyClock::time_point shown_;
  int last_tenth_ = -1;
  StatusLine line_;
};

}  // namespace

Status download_with_progress(const std::string& repo, const std::string& token, const std::string& file) {
  fmt::print(stderr, "fetching {}\n", repo);
  Progress progress(repo);
  return engine::download_model(
      repo, token,
      [&](const engine::DownloadProgress& p) {
        progress.update(p);
        return true;
      },
      file);
}

}  // namespace switchyard::cli
