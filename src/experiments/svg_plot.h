#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard::experiments {

/// A line chart as an SVG file that stands alone. What it shows is values; how they look is decided here.
struct Plot {
  struct Point {
    double x = 0, y = 0;
  };
  struct Range {
    double x = 0, lower = 0, upper = 0;
  };
  struct Series {
    std::string label;
    std::vector<Point> line = {};
    std::vector<Point> dashed = {};  ///< a second line of the same colour
    std::vector<Range> band = {};    ///< behind the line, in its colour
  };
  /// A level that values are compared with.
  struct Mark {
    double y = 0;
    std::string label = {};
  };
  enum class Axis : std::uint8_t { kLinear, kLogarithmic };

  std::string title;
  std::vector<std::string> notes = {};  ///< lines under the title
  std::string x_label, y_label;
  Axis x_axis = Axis::kLinear;
  bool y_percent = false;
  std::vector<Mark> marks = {};
  std::vector<Series> series = {};  ///< at most 6 colours; values that are not finite are left out
  /// What is shown of y, where the values reach further (the first intervals of an experiment are huge); both
  /// zero: all.
  double y_least = 0, y_most = 0;
};

/// Pure. Text is escaped.
[[nodiscard]] std::string svg_of(const Plot& plot);

}  // namespace switchyard::experiments
