#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Which of several arms answers whom. Pure.

namespace switchyard::traffic {

/// Where `subject` stands in an experiment called `salt`: the high half of FNV-1a (64 bits) over
/// salt, a zero byte and subject, after MurmurHash3's final mix. The same on every machine, for ever.
[[nodiscard]] std::uint32_t place_of(std::string_view salt, std::string_view subject);

/// The places 0 to 2^32 - 1 cut into pieces, each of which belongs to one arm. An arm has as many places as
/// its weight among all says, to one place.
class Shares {
 public:
  Shares() = default;  ///< all places are arm 0's
  /// One piece an arm, in order. Weights are not negative and not all zero.
  explicit Shares(std::span<const double> weights);

  /// For other weights, so that as few places as can be change their arm: an arm that shrinks gives up its
  /// last places, one that grows gets places that others gave up. `was[n]`: the number that arm n had;
  /// nothing for a new one. Cut anew, so that more may move, where the pieces are too many.
  [[nodiscard]] Shares moved_to(std::span<const double> weights,
                                std::span<const std::optional<std::size_t>> was) const;

  [[nodiscard]] std::size_t arm_of(std::uint32_t place) const;

  /// "<first place behind it>:<arm>" for each piece.
  [[nodiscard]] std::string to_text() const;
  /// Nothing for a text that is none, or that names an arm beyond `arms`.
  [[nodiscard]] static std::optional<Shares> parse(std::string_view text, std::size_t arms);

  bool operator==(const Shares&) const = default;

 private:
  struct Piece {
    std::uint64_t end = 0;  ///< the first place behind it
    std::size_t arm = 0;
    bool operator==(const Piece&) const = default;
  };
  void append(std::uint64_t end, std::size_t arm);

  std::vector<Piece> pieces_ = {{std::uint64_t{1} << 32, 0}};
};

}  // namespace switchyard::traffic
