#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/conversation_file.h"
#include "engine/conversation_store.h"
#include "telemetry/log.h"

// The disk tier: the writer, and what a folder holds at the start.

namespace switchyard::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".conversation";

}  // namespace

/// The one that was put first.
ConversationStore::Entries::iterator ConversationStore::next_to_write() {
  auto next = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->to_write && (next == entries_.end() || it->id < next->id)) next = it;
  }
  return next;
}

/// Gives the entry its file. Without the lock while it writes: the entry may be gone afterwards.
void ConversationStore::write(std::uint64_t id) {
  auto entry = find_id(id);
  entry->to_write = false;
  const std::shared_ptr<const SlotState> state = entry->state;
  const std::string shape = entry->shape;
  const std::uint64_t size = conversation_file_size(shape, *state);
  if (size > options_.disk.bytes()) return;
  free_disk(size);
  const std::string folder = options_.folder + '/' + entry->version;
  const std::string file = fmt::format("{}/{:016x}{}", folder, id, kSuffix);
  stats_.disk_bytes += ByteSize(size);
  mutex_.unlock();
  ::mkdir(folder.c_str(), S_IRWXU);
  Status written = write_conversation(file, shape, *state);
  // The folder's last file may just have been removed, and the folder with it.
  if (!written && ::mkdir(folder.c_str(), S_IRWXU) == 0) written = write_conversation(file, shape, *state);
  mutex_.lock();
  if (!written) {
    stats_.disk_bytes -= ByteSize(size);
    if (!std::exchange(told_, true)) {
      telemetry::log_warning("conversations", "{}: they are kept in memory only",
                             written.error().to_string());
    }
    return;
  }
  told_ = false;
  entry = find_id(id);
  if (entry == entries_.end()) {
    stats_.disk_bytes -= ByteSize(size);
    to_unlink_.push_back(file);
    return;
  }
  entry->file = file;
  entry->file_bytes = size;
  ++stats_.on_disk;
}

void ConversationStore::unlink_all() {
  const std::vector<std::string> files = std::exchange(to_unlink_, {});
  mutex_.unlock();
  for (const std::string& file : files) {
    ::unlink(file.c_str());
    ::rmdir(fs::path(file).parent_path().c_str());  // when it was the last one
  }
  mutex_.lock();
}

void ConversationStore::write_loop() {
  pthread_setname_np(pthread_self(), "conversations");
  const MutexLock lock(mutex_);
  for (;;) {
    writing_ = true;
    if (!to_unlink_.empty()) {
      unlink_all();
      continue;
    }
    const auto next = next_to_write();
    const bool late = ending_ && std::chrono::steady_clock::now() >= end_;
    if (next != entries_.end() && !late) {
      write(next->id);
      continue;
    }
    writing_ = false;
    written_.notify_all();
    if (ending_) {
      if (late && next != entries_.end()) {
        telemetry::log_warning("conversations", "there was no time to write all of them to {}",
                               options_.folder);
      }
      return;
    }
    work_.wait(mutex_);
  }
}

/// Before the writer exists.
void ConversationStore::read_folder() {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  ::chmod(options_.folder.c_str(), S_IRWXU);
  struct Found {
    fs::file_time_type used;
    Entry entry;
  };
  std::vector<Found> all;
  const MutexLock lock(mutex_);
  for (const auto& item : fs::recursive_directory_iterator(options_.folder, error)) {
    std::error_code ignored;
    if (!item.is_regular_file(ignored)) continue;
    const std::string path = item.path().string();
    auto head = path.ends_with(kSuffix) ? read_conversation_head(path)
                                        : fail(ErrorCode::kCorruptFile, "no conversation");
    if (!head) {
      if (path.ends_with(kSuffix)) {
        telemetry::log_warning("conversations", "{}; it is removed", head.error().to_string());
        ++stats_.unreadable;
      }
      to_unlink_.push_back(path);
      continue;
    }
    const std::uint64_t number = std::strtoull(item.path().stem().c_str(), nullptr, 16);
    next_id_ = std::max(next_id_, number + 1);
    all.push_back({.used = item.last_write_time(ignored),
                   .entry = {.id = number,
                             .version = item.path().parent_path().filename().string(),
                             .shape = std::move(head->shape),
                             .owner = std::move(head->owner),
                             .tokens = std::move(head->tokens),
                             .bytes = head->state_bytes,
                             .file = path,
                             .file_bytes = item.file_size(ignored)}});
  }
  std::ranges::sort(all, {}, [](const Found& found) { return std::pair(found.used, found.entry.id); });
  for (Found& found : all) {
    found.entry.id = next_id_++;
    stats_.disk_bytes += ByteSize(found.entry.file_bytes);
    ++stats_.on_disk;
    entries_.push_back(std::move(found.entry));
  }
  free_disk(0);
}

}  // namespace switchyard::engine
