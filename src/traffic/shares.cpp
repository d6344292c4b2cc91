#include "traffic/shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace switchyard::traffic {
namespace {

constexpr std::uint64_t kPlaces = std::uint64_t{1} << 32;
constexpr std::size_t kMostPieces = 1024;
constexpr std::size_t kFree = static_cast<std::size_t>(-1);

/// How many places each arm has; they add up to all.
std::vector<std::uint64_t> sizes_of(std::span<const double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::uint64_t> sizes;
  double before = 0;
  std::uint64_t begin = 0;
  for (const double weight : weights) {
    before += weight;
    const auto end = static_cast<std::uint64_t>(std::llround(before / sum * static_cast<double>(kPlaces)));
    sizes.push_back(std::min(end, kPlaces) - begin);
    begin = std::min(end, kPlaces);
  }
  // Rounding may leave the last place to nobody.
  *std::ranges::max_element(sizes) += kPlaces - begin;
  return sizes;
}

}  // namespace

std::uint32_t place_of(std::string_view salt, std::string_view subject) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto take = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (const char c : salt) take(static_cast<unsigned char>(c));
  take(0);
  for (const char c : subject) take(static_cast<unsigned char>(c));
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  hash ^= hash >> 33;
  return static_cast<std::uint32_t>(hash >> 32);
}

Shares::Shares(std::span<const double> weights) {
  pieces_.clear();
  std::uint64_t end = 0;
  std::size_t arm = 0;
  for (const std::uint64_t size : sizes_of(weights)) append(end += size, arm++);
}

void Shares::append(std::uint64_t end, std::size_t arm) {
  if (end == (pieces_.empty() ? 0 : pieces_.back().end)) return;
  if (!pieces_.empty() && pieces_.back().arm == arm) {
    pieces_.back().end = end;
  } else {
    pieces_.push_back({end, arm});
  }
}

Shares Shares::moved_to(std::span<const double> weights,
                        std::span<const std::optional<std::size_t>> was) const {
  // The pieces under their arms' new numbers; what nobody has any longer is free.
  std::vector<Piece> pieces = pieces_;
  for (Piece& piece : pieces) {
    const auto now = std::ranges::find(was, std::optional(piece.arm));
    piece.arm = now == was.end() ? kFree : static_cast<std::size_t>(now - was.begin());
  }
  const auto begin_of = [&](std::size_t index) { return index == 0 ? 0 : pieces[index - 1].end; };
  std::vector<std::uint64_t> wanted = sizes_of(weights), has(weights.size(), 0);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].arm != kFree) has[pieces[i].arm] += pieces[i].end - begin_of(i);
  }
  for (std::size_t i = pieces.size(); i-- > 0;) {
    const std::size_t arm = pieces[i].arm;
    if (arm == kFree || has[arm] <= wanted[arm]) continue;
    const std::uint64_t gives = std::min(has[arm] - wanted[arm], pieces[i].end - begin_of(i));
    has[arm] -= gives;
    const std::uint64_t end = pieces[i].end;
    pieces[i].end -= gives;
    pieces.insert(pieces.begin() + static_cast<std::ptrdiff_t>(i) + 1, {end, kFree});
  }
  Shares next;
  next.pieces_.clear();
  std::size_t taker = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].arm != kFree) {
      next.append(pieces[i].end, pieces[i].arm);
      continue;
    }
    for (std::uint64_t begin = begin_of(i); begin < pieces[i].end;) {
      while (has[taker] == wanted[taker]) ++taker;
      const std::uint64_t takes = std::min(wanted[taker] - has[taker], pieces[i].end - begin);
      has[taker] += takes;
      next.append(begin += takes, taker);
    }
  }
  return next.pieces_.size() > kMostPieces ? Shares(weights) : next;
}

std::size_t Shares::arm_of(std::uint32_t place) const {
  return std::ranges::upper_bound(pieces_, std::uint64_t{place}, {}, &Piece::end)->arm;
}

std::string Shares::to_text() const {
  std::string text;
  for (const Piece& piece : pieces_)
    text += fmt::format("{}{}:{}", text.empty() ? "" : " ", piece.end, piece.arm);
  return text;
}

std::optional<Shares> Shares::parse(std::string_view text, std::size_t arms) {
  Shares shares;
  shares.pieces_.clear();
  std::uint64_t before = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    Piece piece;
    const char* const last = word.data() + word.size();
    const auto end = std::from_chars(word.data(), word.data() + word.size(), piece.end);
    if (end.ec != std::errc() || end.ptr == last || *end.ptr != ':') return std::nullopt;
    const auto arm = std::from_chars(end.ptr + 1, last, piece.arm);
    if (arm.ec != std::errc() || arm.ptr != last) return std::nullopt;
    if (piece.end <= before || piece.arm >= arms) return std::nullopt;
    before = piece.end;
    shares.pieces_.push_back(piece);
  }
  if (before != kPlaces) return std::nullopt;
  return shares;
}

}  // namespace switchyard::traffic
