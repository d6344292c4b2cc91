#include <ctime>

// llama.cpp dates a prompt by std::localtime(), whose result all threads share: requests that are rendered at
// the same time would read each other's.
extern "C" std::tm* __wrap_localtime(const std::time_t* time) {
  static thread_local std::tm its{};
  return ::localtime_r(time, &its);
}
