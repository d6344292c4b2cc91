#include "engine/gguf_check.h"

#include <fmt/format.h>
#include <gguf.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/bridge.h"
#include "ggml.h"

namespace switchyard::engine {
namespace {

using nlohmann::json;

struct GgufFree {
  void operator()(gguf_context* g) const { gguf_free(g); }
};
using GgufPtr = std::unique_ptr<gguf_context, GgufFree>;

/// More than any model has by far. llama.cpp compares each key with each when it reads them.
constexpr std::uint64_t kMostKeys = 16'384;

/// The first bytes of a GGUF of version 2 or later.
struct Header {
  std::array<char, 4> magic;
  std::uint32_t version;
  std::uint64_t tensors;
  std::uint64_t keys;
};
static_assert(sizeof(Header) == 24);

/// Regular, readable, begins with "GGUF", does not promise more than can be read.
Status check_is_gguf(const std::string& path) {
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (!std::filesystem::exists(status)) {
    return fail(ErrorCode::kNotFound, fmt::format("{}: no such file", path));
  }
  if (!std::filesystem::is_regular_file(status)) {
    return fail(ErrorCode::kCorruptFile, fmt::format("{}: not a regular file", path));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::kNotFound, fmt::format("{}: cannot be opened", path), std::strerror(errno));
  Header header{};
  in.read(reinterpret_cast<char*>(&header), sizeof(header));
  const std::streamsize got = in.gcount();
  if (got == 0) return fail(ErrorCode::kCorruptFile, fmt::format("{}: the file is empty", path));
  if (got < 4 || std::memcmp(header.magic.data(), "GGUF", 4) != 0) {
    return fail(ErrorCode::kCorruptFile,
                fmt::format("{}: not a GGUF file (it does not begin with \"GGUF\")", path));
  }
  const bool is_known_version = header.version == 2 || header.version == 3;
  if (got == sizeof(header) && is_known_version && header.keys > kMostKeys) {
    return fail(ErrorCode::kCorruptFile,
                fmt::format("{}: its header promises {} metadata keys, more than any "
                            "model has: the file is corrupt; fetch it again",
                            path, header.keys));
  }
  return {};
}

json scalar_to_json(const gguf_context* g, std::int64_t key) {
  switch (gguf_get_kv_type(g, key)) {
    case GGUF_TYPE_UINT8: return gguf_get_val_u8(g, key);
    case GGUF_TYPE_INT8: return gguf_get_val_i8(g, key);
    case GGUF_TYPE_UINT16: return gguf_get_val_u16(g, key);
    case GGUF_TYPE_INT16: return gguf_get_val_i16(g, key);
    case GGUF_TYPE_UINT32: return gguf_get_val_u32(g, key);
    case GGUF_TYPE_INT32: return gguf_get_val_i32(g, key);
    case GGUF_TYPE_UINT64: return gguf_get_val_u64(g, key);
    case GGUF_TYPE_INT64: return gguf_get_val_i64(g, key);
    case GGUF_TYPE_FLOAT32: return gguf_get_val_f32(g, key);
    case GGUF_TYPE_FLOAT64: return gguf_get_val_f64(g, key);
    case GGUF_TYPE_BOOL: return gguf_get_val_bool(g, key);
    case GGUF_TYPE_STRING: return gguf_get_val_str(g, key);
    case GGUF_TYPE_ARRAY:
      return fmt::format("[{} x {}]", gguf_get_arr_n(g, key), gguf_type_name(gguf_get_arr_type(g, key)));
    default: return nullptr;
  }
}

/// Every tensor lies within the file. Split files hold their own tensors only, so this is right for each.
Status check_bounds(const std::string& path, const gguf_context* g, std::uint64_t file_size) {
  const std::uint64_t data = gguf_get_data_offset(g);
  for (std::int64_t i = 0; i < gguf_get_n_tensors(g); ++i) {
    const std::uint64_t offset = data + gguf_get_tensor_offset(g, i);
    const std::uint64_t end = offset + gguf_get_tensor_size(g, i);
    if (offset < data || end < offset || end > file_size) {
      return fail(ErrorCode::kCorruptFile,
                  fmt::format("{}: truncated or corrupt: tensor '{}' ends at byte {} of a file of {} bytes; "
                              "fetch the file again",
                              path, gguf_get_tensor_name(g, i), end, file_size));
    }
  }
  return {};
}

json details(const gguf_context* g) {
  json metadata = json::object();
  for (std::int64_t i = 0; i < gguf_get_n_kv(g); ++i) metadata[gguf_get_key(g, i)] = scalar_to_json(g, i);
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_type;
  for (std::int64_t i = 0; i < gguf_get_n_tensors(g); ++i) {
    auto& [count, bytes] = by_type[ggml_type_name(gguf_get_tensor_type(g, i))];
    ++count;
    bytes += gguf_get_tensor_size(g, i);
  }
  json types = json::object();
  for (const auto& [type, sums] : by_type) types[type] = {{"tensors", sums.first}, {"bytes", sums.second}};
  return {{"gguf_version", gguf_get_version(g)}, {"metadata", metadata}, {"tensor_types", types}};
}

}  // namespace

Result<GgufSummary> check_gguf(const std::string& path) {
  if (auto sound = check_is_gguf(path); !sound) return std::unexpected(sound.error());
  const LogCapture log(LogCapture::Echo::kNo);
  const GgufPtr g(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  if (g == nullptr) {
    return fail(ErrorCode::kCorruptFile, fmt::format("{}: the GGUF header is corrupt or cut short", path),
                log.text());
  }
  const std::uint64_t size = std::filesystem::file_size(path);
  if (auto inside = check_bounds(path, g.get(), size); !inside) return std::unexpected(inside.error());
  const std::int64_t arch = gguf_find_key(g.get(), "general.architecture");
  if (arch < 0 || gguf_get_kv_type(g.get(), arch) != GGUF_TYPE_STRING) {
    return fail(ErrorCode::kCorruptFile, fmt::format("{}: the metadata names no architecture", path));
  }
  return GgufSummary{.architecture = gguf_get_val_str(g.get(), arch),
                     .file_size = ByteSize(size),
                     .details_json = details(g.get()).dump(-1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace switchyard::engine
