#include "gateway/stream_owners.h"

#include <algorithm>
#include <set>

namespace switchyard::gateway {
namespace {

constexpr char kSeparator = '\x1f';  // in no model's id, and in no header
constexpr std::size_t kMostConversations = 10'000;

}  // namespace

std::string stream_key(const models::VersionRef& version, std::string_view conversation) {
  std::string key = version.to_string() + kSeparator;
  key += conversation;
  return key;
}

std::string_view conversation_of(std::string_view key) { return key.substr(key.find(kSeparator) + 1); }

void StreamOwners::add(const std::string& conversation, const models::VersionRef& version) {
  const MutexLock lock(mutex_);
  const auto [at, is_new] = owned_.try_emplace(conversation);
  Owned& owned = at->second;
  if (!is_new) by_age_.erase(owned.age);
  owned.age = by_age_.insert(by_age_.end(), conversation);
  std::erase(owned.owners, version);
  owned.owners.insert(owned.owners.begin(), version);
  if (owned_.size() <= kMostConversations) return;
  owned_.erase(by_age_.front());
  by_age_.pop_front();
}

void StreamOwners::forget(const std::string& conversation) {
  const MutexLock lock(mutex_);
  const auto found = owned_.find(conversation);
  if (found == owned_.end()) return;
  by_age_.erase(found->second.age);
  owned_.erase(found);
}

std::vector<models::VersionRef> StreamOwners::of(const std::string& conversation) const {
  const MutexLock lock(mutex_);
  const auto found = owned_.find(conversation);
  return found == owned_.end() ? std::vector<models::VersionRef>() : found->second.owners;
}

std::string StreamOwners::newest_key(const std::string& conversation) const {
  const auto owners = of(conversation);
  return owners.empty() ? conversation : stream_key(owners.front(), conversation);
}

std::vector<std::string> StreamOwners::keys_to_look_up(const std::string& conversation) const {
  std::set<std::string> keys;
  const MutexLock lock(mutex_);
  for (auto at = owned_.lower_bound(conversation); at != owned_.end() && at->first.starts_with(conversation);
       ++at) {
    const std::string_view rest = std::string_view(at->first).substr(conversation.size());
    if (rest.empty() || rest.starts_with("::"))
      keys.insert(stream_key(at->second.owners.front(), conversation));
  }
  return {keys.begin(), keys.end()};
}

}  // namespace switchyard::gateway
