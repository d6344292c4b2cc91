#include "registry/hasher.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include "telemetry/log.h"

namespace switchyard::registry {
namespace {

constexpr std::size_t kPiece = 64 << 10;

void become_unimportant() {
  pthread_setname_np(pthread_self(), "hasher");
#ifdef __linux__
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);  // only what nobody else wants, not even a niced thread
  constexpr int kProcess = 1, kIdleClass = 3 << 13;
  syscall(SYS_ioprio_set, kProcess, 0, kIdleClass);
#endif
}

/// Nothing when it cannot be read to its end, or it is time to stop.
std::optional<std::string> sha256_of(const std::string& path, const std::stop_token& stop) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::ifstream file(path, std::ios::binary);
  if (!file || digest == nullptr || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1)
    return std::nullopt;
  std::vector<char> piece(kPiece);
  while (file) {
    if (stop.stop_requested()) return std::nullopt;
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    if (EVP_DigestUpdate(digest.get(), piece.data(), static_cast<std::size_t>(file.gcount())) != 1)
      return std::nullopt;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int length = 0;
  if (!file.eof() || EVP_DigestFinal_ex(digest.get(), bytes.data(), &length) != 1) return std::nullopt;
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", bytes[i]);
  return hex;
}

}  // namespace

Hasher::Hasher(store::VersionStore& store)
    : store_(store), thread_([this](const std::stop_token& stop) { run(stop); }) {}

Hasher::~Hasher() {
  thread_.request_stop();
  const MutexLock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
}

void Hasher::want(const std::string& path, const std::string& stamp) {
  if (path.empty() || stamp.empty()) return;
  const MutexLock lock(mutex_);
  files_.push_back({path, stamp});
  work_.notify_all();
}

void Hasher::run(const std::stop_token& stop) {
  become_unimportant();
  for (;;) {
    File file;
    {
      const MutexLock lock(mutex_);
      while (files_.empty() && !stopping_) work_.wait(mutex_);
      if (stopping_) return;
      file = std::move(files_.front());
      files_.pop_front();
    }
    if (store_.hash(file.path, file.stamp)) continue;
    const auto hash = sha256_of(file.path, stop);
    if (!hash) continue;
    if (const Status kept = store_.put_hash(file.path, file.stamp, *hash); !kept)
      telemetry::log_warning("registry", "{}", kept.error().to_string());
  }
}

}  // namespace switchyard::registry
