#include "switchyard/byte_size.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>

namespace switchyard {
namespace {

/// Bytes per unit, or 0 for a word that is no unit. Two letters ending in "B" are powers of 1000,
/// everything else is a power of 1024, as in llama.cpp's and systemd's size options.
std::uint64_t unit_bytes(std::string_view unit) {
  std::string u;
  for (char c : unit) u += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (u.empty() || u == "b") return 1;
  constexpr std::string_view kLetters = "kmgt";
  const std::size_t power = kLetters.find(u.front());
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = std::string_view(u).substr(1);
  if (!rest.empty() && rest != "b" && rest != "i" && rest != "ib") return 0;
  std::uint64_t bytes = 1;
  for (std::size_t i = 0; i <= power; ++i) bytes *= rest == "b" ? 1000 : 1024;
  return bytes;
}

}  // namespace

Result<ByteSize> ByteSize::parse(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("'{}' is not a size: write a number with a unit, as in 12GiB, 512MiB or "
                            "800000000",
                            text));
  };
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  double number = 0;
  const auto [end, ec] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (ec != std::errc() || number < 0 || !std::isfinite(number)) return bad();
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  const std::uint64_t factor = unit_bytes(unit);
  const double bytes = number * static_cast<double>(factor);
  if (factor == 0 || bytes >= 9.2e18) return bad();
  return ByteSize(static_cast<std::uint64_t>(bytes));
}

std::string ByteSize::to_string() const {
  const auto b = static_cast<double>(bytes_);
  if (bytes_ < (1ULL << 10)) return fmt::format("{} B", bytes_);
  if (bytes_ < (1ULL << 20)) return fmt::format("{:.1f} KiB", b / (1ULL << 10));
  if (bytes_ < (1ULL << 30)) return fmt::format("{:.1f} MiB", b / (1ULL << 20));
  return fmt::format("{:.1f} GiB", b / (1ULL << 30));
}

}  // namespace switchyard
