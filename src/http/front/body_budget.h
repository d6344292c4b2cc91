#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "switchyard/byte_size.h"

namespace switchyard::http {

/// The bytes of request bodies that may be in memory at once, from their arrival until their answers. Small
/// bodies are not counted, so that large ones never keep them out. Any thread.
class BodyBudget {
 public:
  static constexpr std::size_t kSmallBody = 64 << 10;

  explicit BodyBudget(ByteSize most) : most_(most.bytes()) {}

  /// Whether a body of this size could come now.
  [[nodiscard]] bool has_room_for(std::size_t bytes) const {
    return bytes <= kSmallBody || used_.load() + bytes <= most_;
  }
  [[nodiscard]] std::size_t used() const { return used_; }

  /// What one body takes; given back when it is destroyed. Move-only. One thread.
  class Share {
   public:
    Share() = default;
    explicit Share(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
    ~Share() { release(); }
    Share(Share&& other) noexcept
        : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }

    /// The body has this many bytes now, never fewer than before. False where there is no room; then nothing
    /// has changed.
    [[nodiscard]] bool grow_to(std::size_t bytes) {
      if (bytes <= kSmallBody || bytes == bytes_) return true;
      const std::size_t more = bytes - bytes_;
      if (budget_->used_.fetch_add(more) + more > budget_->most_) {
        budget_->used_ -= more;
        return false;
      }
      bytes_ = bytes;
      return true;
    }

   private:
    void release() {
      if (budget_ != nullptr) budget_->used_ -= bytes_;
    }
    std::shared_ptr<BodyBudget> budget_;
    std::size_t bytes_ = 0;
  };

 private:
  const std::size_t most_;
  std::atomic<std::size_t> used_ = 0;
};

}  // namespace switchyard::http
