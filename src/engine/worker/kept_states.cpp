#include "engine/worker/kept_states.h"

#include <utility>

namespace switchyard::engine::worker {
namespace {

class RemoteKeeper final : public SlotStateKeeper {
 public:
  explicit RemoteKeeper(std::shared_ptr<LoadLink> link) : link_(std::move(link)) {}

  std::shared_ptr<const SlotState> find(const std::string& owner, const std::vector<std::int32_t>& tokens,
                                        std::size_t longer_than) override {
    auto answer = link_->exchange([&](Channel& channel) {
      return send(channel, FindOrder{.owner = owner, .tokens = tokens, .longer_than = longer_than});
    });
    if (!answer) return nullptr;
    auto state = read_state(std::move(*answer));
    return state ? std::shared_ptr<const SlotState>(std::move(*state)) : nullptr;
  }

  bool make_room(std::size_t bytes) override {
    const auto answer =
        link_->exchange([&](Channel& channel) { return send(channel, Kind::kMakeRoom, bytes); });
    if (!answer) return false;
    const auto made = read_numbers(*answer);
    return made && made->first != 0;
  }

  void put(SlotState state) override {
    // Lost with the server where it does not get there.
    [[maybe_unused]] const Status sent =
        link_->post([&](Channel& channel) { return send_state(channel, Kind::kPut, &state); });
  }

  void restored(const std::shared_ptr<const SlotState>&, bool taken) override {
    [[maybe_unused]] const Status sent =
        link_->post([&](Channel& channel) { return send(channel, Kind::kRestored, taken ? 1 : 0); });
  }

 private:
  const std::shared_ptr<LoadLink> link_;
};

}  // namespace

std::unique_ptr<SlotStateKeeper> make_remote_keeper(std::shared_ptr<LoadLink> link) {
  return std::make_unique<RemoteKeeper>(std::move(link));
}

Status KeeperHost::answer(Message question, Channel& channel) {
  if (keeper_ == nullptr) return fail(ErrorCode::kInternal, "a worker asks for what is not kept");
  switch (question.kind) {
    case Kind::kFind: {
      const auto order = read_find(question);
      if (!order) return std::unexpected(order.error());
      found_ = keeper_->find(order->owner, order->tokens, order->longer_than);
      return send_state(channel, Kind::kFound, found_.get());
    }
    case Kind::kMakeRoom: {
      const auto bytes = read_numbers(question);
      if (!bytes) return std::unexpected(bytes.error());
      return send(channel, Kind::kDone, keeper_->make_room(bytes->first) ? 1 : 0);
    }
    case Kind::kPut: {
      auto state = read_state(std::move(question));
      if (!state) return std::unexpected(state.error());
      if (*state != nullptr) keeper_->put(std::move(**state));
      return {};
    }
    case Kind::kRestored: {
      const auto taken = read_numbers(question);
      if (!taken) return std::unexpected(taken.error());
      if (const auto found = std::exchange(found_, nullptr)) keeper_->restored(found, taken->first != 0);
      return {};
    }
    default: return fail(ErrorCode::kInternal, "a worker asks something that cannot be asked");
  }
}

}  // namespace switchyard::engine::worker
