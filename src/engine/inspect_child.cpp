#include <openssl/evp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include "common.h"
#include "engine/bridge.h"
#include "engine/gguf_check.h"
#include "engine/in_process.h"
#include "engine/inspection_json.h"
#include "engine/params.h"
#include "engine/predict.h"
#include "fmt/format.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SWITCHYARD_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SWITCHYARD_SANITIZED
#endif

namespace switchyard::engine {
namespace {

/// A hostile file may make the parser allocate or spin: bound both, and die with the server.
void limit_this_process() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto set = [](auto what, rlim_t most) {
    const struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    ::setrlimit(what, &limit);
  };
  set(RLIMIT_CORE, 0);
  set(RLIMIT_CPU, 60);
#if !defined(SWITCHYARD_SANITIZED)  // their shadow memory is counted as data
  set(RLIMIT_DATA, rlim_t{32} << 30);
#endif
  set(RLIMIT_FSIZE, rlim_t{1} << 20);
  // Where llama.cpp aborts it would have a debugger print a backtrace first, which takes seconds.
  ::setenv("GGML_NO_BACKTRACE", "1", 1);
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
  auto summary = check_gguf(model->second);
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
  return inspection;
}

}  // namespace

int run_inspect_child() {
  limit_this_process();
  start_process_bridge();
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
