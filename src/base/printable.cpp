#include "base/printable.h"

namespace switchyard {
namespace {

std::string replace_controls(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool is_c1 = c == 0xC2 && next >= 0x80 && next <= 0x9F;
    const bool is_control = is_c1 || c == 0x7F || (c < 0x20 && !kept.contains(text[i]));
    out += is_control ? ' ' : text[i];
    if (is_c1) ++i;
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return replace_controls(text, "\n\t"); }

std::string printable_line(std::string_view text) { return replace_controls(text, {}); }

}  // namespace switchyard
