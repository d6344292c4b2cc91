#include "traffic/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "traffic/switch_record.h"

namespace switchyard::traffic {
namespace {

constexpr std::size_t kMostArms = 64;
constexpr double kRounding = 1e-6;

std::vector<double> weights_of(std::span<const Arm> arms) {
  std::vector<double> weights;
  for (const Arm& arm : arms) weights.push_back(arm.weight);
  return weights;
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

}  // namespace

Status check_arms(std::span<const Arm> arms) {
  if (arms.empty() || arms.size() > kMostArms) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("a split has 1 to {} arms", kMostArms));
  }
  double sum = 0;
  for (auto arm = arms.begin(); arm != arms.end(); ++arm) {
    const bool is_share = arm->weight >= 0 && arm->weight <= 100;  // no NaN
    if (!is_share) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("the weight of '{}' must be from 0 to 100", arm->to.to_string()));
    }
    if (std::any_of(arms.begin(), arm, [&](const Arm& other) { return other.to == arm->to; }))
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' is in the split twice", arm->to.to_string()));
    sum += arm->weight;
  }
  if (std::abs(sum - 100) > kRounding) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the weights add up to {:g}; they must add up to 100", sum));
  }
  return {};
}

Split make_split(std::vector<Arm> arms, std::string sticky_header, const Split* before) {
  const std::vector<double> weights = weights_of(arms);
  Split split{.arms = std::move(arms), .sticky_header = std::move(sticky_header), .shares = {}};
  if (before == nullptr) {
    split.shares = Shares(weights);
    return split;
  }
  std::vector<std::optional<std::size_t>> was;
  for (const Arm& arm : split.arms) {
    const auto old = std::ranges::find(before->arms, arm.to, &Arm::to);
    was.push_back(old == before->arms.end()
                      ? std::nullopt
                      : std::optional(static_cast<std::size_t>(old - before->arms.begin())));
  }
  split.shares = before->shares.moved_to(weights, was);
  return split;
}

std::string to_text(std::span<const Arm> arms) {
  std::string text;
  for (const Arm& arm : arms)
    text += fmt::format("{}{} {}", text.empty() ? "" : "\n", arm.weight, arm.to.to_string());
  return text;
}

std::vector<Arm> parse_arms(std::string_view text) {
  std::vector<Arm> arms;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const std::size_t blank = std::min(line.find(' '), line.size());
    Arm arm{.to = to_ref(line.substr(std::min(blank + 1, line.size())))};
    const std::string_view weight = line.substr(0, blank);
    std::from_chars(weight.data(), weight.data() + weight.size(), arm.weight);
    arms.push_back(std::move(arm));
  }
  return arms;
}

std::string described(std::span<const Arm> arms, std::string_view sticky_header) {
  std::string text;
  for (const Arm& arm : arms)
    text += fmt::format("{}{}={:g}", text.empty() ? "" : ", ", arm.to.to_string(), arm.weight);
  return sticky_header.empty() ? text : text + fmt::format(", sticky by {}", sticky_header);
}

// The header, the pieces, the arms.
std::string to_text(const Split& split) {
  return split.sticky_header + "\n" + split.shares.to_text() + "\n" + to_text(std::span(split.arms));
}

std::shared_ptr<const Split> parse_split(std::string_view text) {
  if (text.empty()) return nullptr;
  Split split{.arms = {}, .sticky_header = std::string(take_line(text)), .shares = {}};
  const std::string_view shares = take_line(text);
  split.arms = parse_arms(text);
  auto cut = Shares::parse(shares, split.arms.size());
  if (!cut || !check_arms(split.arms)) return nullptr;
  split.shares = *std::move(cut);
  return std::make_shared<const Split>(std::move(split));
}

}  // namespace switchyard::traffic
