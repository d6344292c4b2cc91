#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::telemetry {

using Labels = std::map<std::string, std::string>;

enum class MetricType : std::uint8_t { kCounter, kGauge };

/// Values that are known at the moment of a scrape, and kept by somebody else.
struct MetricFamily {
  struct Point {
    Labels labels;
    double value = 0;
  };
  std::string name;
  std::string help;
  MetricType type = MetricType::kGauge;
  std::vector<Point> points;
};

/// What this process counts itself, and the Prometheus text of everything. Any thread.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// `name`, `help` and, for a histogram, its bounds belong together: the first call decides.
  void count(const std::string& name, const std::string& help, const Labels& labels, double by = 1);
  void observe(const std::string& name, const std::string& help, const Labels& labels, double value,
               const std::vector<double>& bounds);
  /// Text format 0.0.4.
  [[nodiscard]] std::string text(const std::vector<MetricFamily>& now) const;

 private:
  struct Registry;
  std::unique_ptr<Registry> registry_;
};

}  // namespace switchyard::telemetry
