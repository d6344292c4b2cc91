#pragma once

#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "models/types.h"

namespace switchyard::gateway {

/// llama.cpp keeps the resumable streams of all models in one map, by conversation. There each version has
/// a key of its own, so that two models asked in one conversation do not end each other's streams.
[[nodiscard]] std::string stream_key(const models::VersionRef& version, std::string_view conversation);
/// The conversation that `key` was made of.
[[nodiscard]] std::string_view conversation_of(std::string_view key);

/// Which versions were asked in which conversation; the 10000 conversations last used. Any thread.
class StreamOwners {
 public:
  /// `version` becomes the conversation's newest owner.
  void add(const std::string& conversation, const models::VersionRef& version);
  void forget(const std::string& conversation);
  /// Newest first.
  [[nodiscard]] std::vector<models::VersionRef> of(const std::string& conversation) const;
  /// The newest owner's; the conversation itself where nobody was asked in it.
  [[nodiscard]] std::string newest_key(const std::string& conversation) const;
  /// What llama.cpp's lookup is to be asked for to find `conversation` and what begins with it and "::",
  /// as it does for plain ids.
  [[nodiscard]] std::vector<std::string> keys_to_look_up(const std::string& conversation) const;

 private:
  struct Owned {
    std::vector<models::VersionRef> owners;  // newest first
    std::list<std::string>::iterator age;
  };

  mutable Mutex mutex_;
  std::map<std::string, Owned> owned_ GUARDED_BY(mutex_);
  std::list<std::string> by_age_ GUARDED_BY(mutex_);  // oldest first
};

}  // namespace switchyard::gateway
