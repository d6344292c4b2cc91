#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <unordered_set>

#include "base/mutex.h"
#include "http/front/body_budget.h"
#include "http/front/connection_room.h"
#include "http/server.h"

namespace switchyard::http {

class Connection;

/// What the connections of one server share. Members without a note are for the loop thread; it
/// outlives every connection, because the loop ends only when the last one is gone.
struct Front {
  // Constant after construction.
  ServerOptions options;
  Handler handler;
  ConnectionRoom room;
  std::shared_ptr<BodyBudget> bodies;  ///< never null; exchanges outlive the server

  // Synchronise themselves.
  boost::asio::io_context loop{1};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> exchanges{0};
  Mutex mutex;
  CondVar changed;
  std::uint64_t open GUARDED_BY(mutex) = 0;  ///< connections
  std::uint64_t busy GUARDED_BY(mutex) = 0;  ///< connections with a request that is not answered whole

  std::unordered_set<std::shared_ptr<Connection>> connections;
  bool stopping = false;

  /// The answer to a request that no handler saw, or whose handler threw.
  [[nodiscard]] Response error_response(int status, std::string_view what) const;
};

}  // namespace switchyard::http
