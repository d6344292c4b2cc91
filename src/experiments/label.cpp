#include "experiments/label.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/nearest.h"

namespace switchyard::experiments {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 11> kLabels{{{"good", 1},
                                                                       {"bad", 0},
                                                                       {"neutral", 0.5},
                                                                       {"up", 1},
                                                                       {"down", 0},
                                                                       {"positive", 1},
                                                                       {"negative", 0},
                                                                       {"correct", 1},
                                                                       {"incorrect", 0},
                                                                       {"thumbs_up", 1},
                                                                       {"thumbs_down", 0}}};

}  // namespace

Result<double> score_of_label(std::string_view label) {
  std::vector<std::string> known;
  for (const auto& [word, score] : kLabels) {
    if (word == label) return score;
    known.emplace_back(word);
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("there is no label '{}'{}", label, did_you_mean_or_known(label, known)));
}

}  // namespace switchyard::experiments
