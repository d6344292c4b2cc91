#include "experiments/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

namespace switchyard::experiments {
namespace {

constexpr double kWidth = 860, kLeft = 84, kRight = 28, kPlotHeight = 340, kFoot = 62;
constexpr std::array<std::string_view, 6> kColours{"#1f6fb4", "#c8501e", "#2c8a4b",
                                                   "#7a4ab0", "#a3802b", "#5b6670"};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

/// 1, 2 or 5 times a power of ten, so that about `count` of them cover `span`.
double step_for(double span, double count) {
  const double rough = span / count, power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void take(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void settle(double otherwise_low, double otherwise_high) {
    if (low > high) low = otherwise_low, high = otherwise_high;
    if (low == high) low -= 0.5, high += 0.5;
  }
};

class Drawing {
 public:
  explicit Drawing(const Plot& plot)
      : plot_(plot), top_(46 + 17 * static_cast<double>(plot.notes.size())), bottom_(top_ + kPlotHeight) {
    for (const Plot::Series& series : plot.series) {
      for (const auto* points : {&series.line, &series.dashed}) {
        for (const Plot::Point& point : *points) (x_.take(point.x), y_.take(point.y));
      }
      for (const Plot::Range& range : series.band)
        (x_.take(range.x), y_.take(range.lower), y_.take(range.upper));
    }
    for (const Plot::Mark& mark : plot.marks) y_.take(mark.y);
    if (plot.y_least < plot.y_most) y_ = {plot.y_least, plot.y_most};
    x_.settle(1, 10);
    y_.settle(-1, 1);
    const double margin = 0.04 * (y_.high - y_.low);
    y_.low -= margin;
    y_.high += margin;
  }

  std::string svg() {
    const double height = bottom_ + kFoot + 20 * std::ceil(static_cast<double>(labels()) / 3);
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
        "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n"
        "<clipPath id=\"area\"><rect x=\"{2}\" y=\"{3:.1f}\" width=\"{4}\" height=\"{5}\"/></clipPath>\n",
        kWidth, height, kLeft, top_, kWidth - kLeft - kRight, kPlotHeight);
    text(kLeft, 26, plot_.title, "font-size=\"16\" font-weight=\"bold\"");
    for (std::size_t line = 0; line < plot_.notes.size(); ++line)
      text(kLeft, 45 + 17 * static_cast<double>(line), plot_.notes[line], "fill=\"#555\"");
    draw_y_axis();
    draw_x_axis();
    for (const Plot::Mark& mark : plot_.marks) draw_mark(mark);
    for (std::size_t i = 0; i < plot_.series.size(); ++i) draw_band(plot_.series[i], colour(i));
    for (std::size_t i = 0; i < plot_.series.size(); ++i) {
      draw_line(plot_.series[i].dashed, colour(i), "stroke-width=\"1.5\" stroke-dasharray=\"5 4\"");
      draw_line(plot_.series[i].line, colour(i), "stroke-width=\"2\"");
    }
    draw_legend();
    return std::move(out_) + "</svg>\n";
  }

 private:
  static std::string_view colour(std::size_t series) { return kColours.at(series % kColours.size()); }
  [[nodiscard]] std::size_t labels() const { return plot_.series.size(); }
  [[nodiscard]] double scaled(double x) const {
    return plot_.x_axis == Plot::Axis::kLogarithmic ? std::log10(std::max(x, 1e-9)) : x;
  }
  [[nodiscard]] double at_x(double x) const {
    const double share = (scaled(x) - scaled(x_.low)) / (scaled(x_.high) - scaled(x_.low));
    return kLeft + share * (kWidth - kLeft - kRight);
  }
  /// Far beyond the area, which is clipped, rather than infinite.
  [[nodiscard]] double at_y(double y) const {
    const double share = std::clamp((y - y_.low) / (y_.high - y_.low), -2.0, 3.0);
    return bottom_ - share * kPlotHeight;
  }
  void text(double x, double y, std::string_view words, std::string_view look) {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, look, escaped(words));
  }
  void line(double x1, double y1, double x2, double y2, std::string_view look) {
    out_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2,
                        y2, look);
  }
  void draw_y_axis() {
    const double step = step_for(y_.high - y_.low, 7);
    for (auto n = static_cast<std::int64_t>(std::ceil(y_.low / step));
         static_cast<double>(n) * step <= y_.high; ++n) {
      const double y = static_cast<double>(n) * step;
      line(kLeft, at_y(y), kWidth - kRight, at_y(y), "stroke=\"#e4e4e4\"");
      text(kLeft - 8, at_y(y) + 4,
           plot_.y_percent ? fmt::format("{:.4g} %", 100 * y) : fmt::format("{:.4g}", y),
           "text-anchor=\"end\" fill=\"#555\"");
    }
    text(0, 0, plot_.y_label,
         fmt::format("text-anchor=\"middle\" transform=\"translate(20 {:.1f}) rotate(-90)\"",
                     (top_ + bottom_) / 2));
  }
  void x_tick(double x) {
    line(at_x(x), bottom_, at_x(x), bottom_ + 5, "stroke=\"#888\"");
    text(at_x(x), bottom_ + 19, fmt::format("{:.6g}", x), "text-anchor=\"middle\" fill=\"#555\"");
  }
  void draw_x_axis() {
    line(kLeft, bottom_, kWidth - kRight, bottom_, "stroke=\"#888\"");
    if (plot_.x_axis == Plot::Axis::kLogarithmic) {
      for (double power = std::pow(10, std::floor(scaled(x_.low))); power <= x_.high; power *= 10) {
        for (const double lead : {1, 2, 5}) {
          if (lead * power >= x_.low && lead * power <= x_.high) x_tick(lead * power);
        }
      }
    } else {
      const double step = step_for(x_.high - x_.low, 8);
      for (double x = std::ceil(x_.low / step) * step; x <= x_.high; x += step) x_tick(x);
    }
    text((kLeft + kWidth - kRight) / 2, bottom_ + 40, plot_.x_label, "text-anchor=\"middle\"");
  }
  void draw_mark(const Plot::Mark& mark) {
    line(kLeft, at_y(mark.y), kWidth - kRight, at_y(mark.y), "stroke=\"#222\" stroke-dasharray=\"2 3\"");
    text(kWidth - kRight - 4, at_y(mark.y) - 5, mark.label, "text-anchor=\"end\"");
  }
  void draw_band(const Plot::Series& series, std::string_view fill) {
    std::string path;
    const auto add = [&](double x, double y) { path += fmt::format("{:.1f},{:.1f} ", at_x(x), at_y(y)); };
    const auto seen = [](const Plot::Range& range) {
      return std::isfinite(range.lower) && std::isfinite(range.upper);
    };
    for (const Plot::Range& range : series.band)
      if (seen(range)) add(range.x, range.upper);
    for (auto range = series.band.rbegin(); range != series.band.rend(); ++range)
      if (seen(*range)) add(range->x, range->lower);
    if (path.empty()) return;
    out_ += fmt::format(
        "<polygon clip-path=\"url(#area)\" points=\"{}\" fill=\"{}\" fill-opacity=\"0.16\" stroke=\"{}\" "
        "stroke-opacity=\"0.5\"/>\n",
        path, fill, fill);
  }
  void draw_line(const std::vector<Plot::Point>& points, std::string_view stroke, std::string_view look) {
    std::string path;
    for (const Plot::Point& point : points)
      if (std::isfinite(point.y)) path += fmt::format("{:.1f},{:.1f} ", at_x(point.x), at_y(point.y));
    if (path.empty()) return;
    out_ += fmt::format("<polyline clip-path=\"url(#area)\" points=\"{}\" fill=\"none\" stroke=\"{}\" {}/>\n",
                        path, stroke, look);
  }
  void draw_legend() {
    constexpr double kColumn = (kWidth - kLeft - kRight) / 3;
    for (std::size_t i = 0; i < plot_.series.size(); ++i) {
      const double x = kLeft + kColumn * static_cast<double>(i % 3);
      const double y = bottom_ + 62 + 20 * static_cast<double>(i / 3);
      line(x, y, x + 24, y, fmt::format("stroke=\"{}\" stroke-width=\"3\"", colour(i)));
      text(x + 30, y + 4, plot_.series[i].label, "");
    }
  }

  const Plot& plot_;
  const double top_, bottom_;
  Extent x_, y_;
  std::string out_;
};

}  // namespace

std::string svg_of(const Plot& plot) { return Drawing(plot).svg(); }

}  // namespace switchyard::experiments
