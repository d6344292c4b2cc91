#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "gateway/admission.h"
#include "http/request_line.h"
#include "tenants/secret.h"

namespace switchyard::http {

/// llama-server's --cors-* options, with its defaults.
struct CorsOptions {
  std::string origins = "*";  ///< "localhost" reflects local origins only
  std::string methods = "GET, POST, PUT, DELETE, OPTIONS";
  std::string headers = "*";
  bool credentials = true;
};

/// What a running server can be told anew, without a restart.
struct Settings {
  std::string default_model = {};    ///< for requests without `model`; empty: such requests get 400
  bool autoload = true;              ///< false: --no-models-autoload
  tenants::SecretSet api_keys = {};  ///< the server's own: of every right
  CorsOptions cors = {};
  bool shared_conversations = false;  ///< keys go on from each other's prompts
  gateway::RequestLimits requests = {};
  RequestLog log = {};
};

/// The settings that hold now. A request looks once and goes on with what it saw. Any thread.
class LiveSettings {
 public:
  explicit LiveSettings(Settings settings) { set(std::move(settings)); }
  void set(Settings settings) {
    auto next = std::make_shared<const Settings>(std::move(settings));
    const MutexLock lock(mutex_);
    settings_ = std::move(next);
  }
  [[nodiscard]] std::shared_ptr<const Settings> get() const {
    const MutexLock lock(mutex_);
    return settings_;
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Settings> settings_ GUARDED_BY(mutex_);
};

}  // namespace switchyard::http
