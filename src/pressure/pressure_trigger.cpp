#include "pressure/pressure_trigger.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace switchyard::pressure {
namespace {

constexpr std::string_view kThreshold = "some 400000 2000000";

int open_trigger(const std::filesystem::path& path) {
  if (path.empty()) return -1;
  const int file = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return -1;
  // The kernel wants the text with its zero.
  if (write(file, kThreshold.data(), kThreshold.size() + 1) > 0) return file;
  close(file);
  return -1;
}

class PsiTrigger final : public PressureTrigger {
 public:
  explicit PsiTrigger(const std::filesystem::path& path)
      : end_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), psi_(open_trigger(path)) {}
  ~PsiTrigger() override {
    close(end_);
    if (psi_ >= 0) close(psi_);
  }
  PsiTrigger(const PsiTrigger&) = delete;
  PsiTrigger& operator=(const PsiTrigger&) = delete;

  Wake wait(Duration most) override {
    // A negative descriptor is left out by poll().
    std::array<pollfd, 2> files{
        {{.fd = end_, .events = POLLIN, .revents = 0}, {.fd = psi_, .events = POLLPRI, .revents = 0}}};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(most);
    if (poll(files.data(), files.size(), static_cast<int>(ms.count())) <= 0) return Wake::kTime;
    if ((files[1].revents & (POLLERR | POLLNVAL)) != 0) {  // its cgroup is gone
      close(psi_);
      psi_ = -1;
    }
    return (files[1].revents & POLLPRI) != 0 ? Wake::kPressure : Wake::kTime;
  }

  void interrupt() override {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(end_, &one, sizeof one);  // fails when it is set already
  }

  [[nodiscard]] bool by_kernel() const override { return psi_ >= 0; }

 private:
  const int end_;
  int psi_;
};

}  // namespace

std::unique_ptr<PressureTrigger> make_pressure_trigger(const std::filesystem::path& file) {
  return std::make_unique<PsiTrigger>(file);
}

}  // namespace switchyard::pressure
