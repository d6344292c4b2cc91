#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace switchyard::shadowing {

/// How many bytes several may hold together. Any thread.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t most) : most_(most) {}
  /// False, and nothing is taken, where they would be too many.
  [[nodiscard]] bool take(std::size_t bytes) {
    std::size_t used = used_;
    do {
      if (bytes > most_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return true;
  }
  void give_back(std::size_t bytes) { used_ -= bytes; }
  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  const std::size_t most_;
  std::atomic<std::size_t> used_ = 0;
};

/// A part of a budget, given back by the destructor. Move-only; one thread at a time.
class HeldBytes {
 public:
  HeldBytes() = default;
  explicit HeldBytes(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
  ~HeldBytes() { release(); }
  HeldBytes(HeldBytes&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  HeldBytes& operator=(HeldBytes&& other) noexcept {
    if (this == &other) return *this;
    release();
    budget_ = std::move(other.budget_);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  [[nodiscard]] bool grow(std::size_t bytes) {
    if (budget_ == nullptr || !budget_->take(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void release() {
    if (budget_ != nullptr) budget_->give_back(std::exchange(bytes_, 0));
  }

 private:
  std::shared_ptr<ByteBudget> budget_;
  std::size_t bytes_ = 0;
};

}  // namespace switchyard::shadowing
