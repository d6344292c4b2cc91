#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "switchyard/result.h"

namespace switchyard {

/// A number of bytes. Subtraction saturates at zero; there are no negative sizes.
class ByteSize {
 public:
  constexpr ByteSize() = default;
  constexpr explicit ByteSize(std::uint64_t bytes) : bytes_(bytes) {}
  static constexpr ByteSize mib(std::uint64_t n) { return ByteSize(n << 20); }
  static constexpr ByteSize gib(std::uint64_t n) { return ByteSize(n << 30); }

  /// Reads "12GiB", "512 MiB", "1.5G", "800000000", "64k". Units K M G T are powers of 1024, with
  /// or without "iB"; KB MB GB TB are powers of 1000. Errors: kInvalidArgument with the accepted forms.
  [[nodiscard]] static Result<ByteSize> parse(std::string_view text);

  [[nodiscard]] constexpr std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] constexpr double in_mib() const { return static_cast<double>(bytes_) / (1 << 20); }
  /// "253.1 MiB", "12.0 GiB", "912 B".
  [[nodiscard]] std::string to_string() const;

  constexpr auto operator<=>(const ByteSize&) const = default;
  constexpr ByteSize& operator+=(ByteSize o) {
    bytes_ += o.bytes_;
    return *this;
  }
  constexpr ByteSize& operator-=(ByteSize o) {
    bytes_ = o.bytes_ > bytes_ ? 0 : bytes_ - o.bytes_;
    return *this;
  }
  friend constexpr ByteSize operator+(ByteSize a, ByteSize b) { return a += b; }
  friend constexpr ByteSize operator-(ByteSize a, ByteSize b) { return a -= b; }

 private:
  std::uint64_t bytes_ = 0;
};

}  // namespace switchyard
