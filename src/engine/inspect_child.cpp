#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "common.h"
#include "engine/bridge.h"
#include "engine/child_phase.h"
#include "engine/child_sandbox.h"
#include "engine/gguf_check.h"
#include "engine/in_process.h"
#include "engine/inspection_json.h"
#include "engine/params.h"
#include "engine/predict.h"
#include "engine/rehearsal.h"

namespace switchyard::engine {
namespace {

constexpr rlim_t kMostDataOfHeader = rlim_t{1} << 30;
constexpr rlim_t kMostData = rlim_t{32} << 30;
constexpr std::chrono::milliseconds kHeaderTakesAtMost(kSanitized ? 30'000 : 1'000);

void limit(decltype(RLIMIT_CORE) what, rlim_t soft, rlim_t hard) {
  const struct rlimit values = {.rlim_cur = soft, .rlim_max = hard};
  ::setrlimit(what, &values);
}

/// Bounds of the heap while `most` counts; a sanitizer's shadow memory is counted as data.
void limit_data(rlim_t most) {
  if (!kSanitized) limit(RLIMIT_DATA, most, kMostData);
}

/// A hostile file may make the parser allocate or spin: bound both, and die with the server.
void limit_this_process() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_CPU, 60, 60);
  limit(RLIMIT_FSIZE, rlim_t{1} << 20, rlim_t{1} << 20);
}

/// What counts as this process's data already: with a GPU its driver's, which is not the file's fault.
rlim_t data_now() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmData:")) return std::strtoull(line.c_str() + 7, nullptr, 10) << 10;
  }
  return 0;
}

/// The file's SHA-256 in lower-case hex.
Result<std::string> file_sha256(const std::string& path) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::ifstream in(path, std::ios::binary);
  std::vector<char> buffer(std::size_t{1} << 20);
  bool ok = in && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1;
  while (ok && in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    ok = EVP_DigestUpdate(digest.get(), buffer.data(), static_cast<std::size_t>(in.gcount())) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int length = 0;
  if (!ok || !in.eof() || EVP_DigestFinal_ex(digest.get(), hash.data(), &length) != 1) {
    return fail(ErrorCode::kInternal, fmt::format("{}: its SHA-256 cannot be computed", path));
  }
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", hash[i]);
  return hex;
}

Status check_pin(const std::string& path, const std::string& pinned) {
  if (pinned.empty()) return {};
  const auto actual = file_sha256(path);
  if (!actual) return std::unexpected(actual.error());
  if (*actual == pinned) return {};
  return fail(ErrorCode::kCorruptFile,
              fmt::format("{}: its sha256 is {}, but {} is pinned: fetch the file again or correct the pin",
                          path, *actual, pinned));
}

Result<Inspection> inspect_here(const InspectionRequest& request) {
  const auto model = request.spec.args.find("model");
  if (model == request.spec.args.end()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("model '{}' names no file", request.spec.model));
  }
  auto summary = [&] {
    const ChildPhase phase(
        {ErrorCode::kCorruptFile,
         fmt::format("{}: its header cannot be read to an end: the file is corrupt", model->second)},
        kHeaderTakesAtMost);
    return check_gguf(model->second);
  }();
  limit_data(kMostData);
  if (!summary) return std::unexpected(summary.error());
  if (auto right = check_pin(model->second, request.spec.sha256); !right)
    return std::unexpected(right.error());
  auto params = make_params(request.spec);
  if (!params) return std::unexpected(params.error());
  Inspection inspection;
  inspection.file_size = summary->file_size;
  inspection.architecture = summary->architecture;
  inspection.details_json = std::move(summary->details_json);
  if (auto predicted =
          predict_memory(request.spec, request.options, request.default_prompt_cache, **params, inspection);
      !predicted) {
    return std::unexpected(predicted.error());
  }
  if (auto ran = rehearse(request.spec, **params, inspection); !ran) return std::unexpected(ran.error());
  return inspection;
}

}  // namespace

int run_inspect_child() {
  limit_this_process();
  ::setenv("GGML_NO_BACKTRACE", "1", 0);  // an abort would look for a debugger first, for a second or more
  start_process_bridge();
  [[maybe_unused]] const bool processor_only = list_devices().size() <= 1;
  limit_data(data_now() + kMostDataOfHeader);
  // Where the kernel has no filters the limits are what there is; `switchyard doctor` says so.
  if (!kSanitized) {  // a sanitizer does what is forbidden there
    [[maybe_unused]] const Sandbox sandbox =
        enter_sandbox(processor_only ? Devices::kProcessorOnly : Devices::kOthersToo);
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  std::string answer;
  try {
    const auto request = inspection_request_from_json(text);
    answer = to_json(request ? inspect_here(*request) : Result<Inspection>(std::unexpected(request.error())));
  } catch (const std::bad_alloc&) {
    answer = to_json(Result<Inspection>(fail(
        ErrorCode::kCorruptFile, "the file asks for more memory than an inspection may use: it is corrupt")));
  } catch (const std::exception& e) {
    answer = to_json(
        Result<Inspection>(fail(ErrorCode::kCorruptFile, "the file cannot be read as a model", e.what())));
  }
  std::cout << answer << std::flush;
  // Nothing to tear down is worth the time: the answer is written.
  ::_exit(0);
}

}  // namespace switchyard::engine
