#include "engine/conversation_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#define XXH_INLINE_ALL
#include "hash/xxhash/xxhash.h"

namespace switchyard::engine {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr char kMagic[8] = {'S', 'W', 'Y', 'C', 'O', 'N', 'V', '2'};
constexpr std::uint64_t kLargestHead = 64U << 20;

/// What stands first in a file.
struct Prefix {
  char magic[8];
  std::uint64_t head_bytes;
  std::uint64_t head_checksum;
  std::uint64_t state_bytes;
  std::uint64_t state_checksum;
};
static_assert(std::is_trivially_copyable_v<Prefix> && sizeof(Prefix) == 40);

class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0)
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode)) {}
  ~File() { close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  bool close() {
    const int descriptor = std::exchange(descriptor_, -1);
    return descriptor < 0 || ::close(descriptor) == 0;
  }
  bool write(std::span<const std::uint8_t> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  [[nodiscard]] bool read(std::span<std::uint8_t> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::read(descriptor_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  [[nodiscard]] std::uint64_t size() const {
    struct stat st = {};
    return ::fstat(descriptor_, &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
  }

 private:
  int descriptor_;
};

template <typename T>
void append(Bytes& bytes, const T* values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (count == 0) return;
  const std::size_t at = bytes.size();
  bytes.resize(at + count * sizeof(T));  // insert() has g++ 12 warn of an overflow that there is not
  std::memcpy(bytes.data() + at, values, count * sizeof(T));
}
template <typename T>
void append(Bytes& bytes, T value) {
  append(bytes, &value, 1);
}

/// Takes values off the front of a head; `sound` is false once there was not enough.
class Cursor {
 public:
  explicit Cursor(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  template <typename T>
  void take(T* values, std::size_t count) {
    if (count > bytes_.size() / sizeof(T)) {
      sound_ = false;
      return;
    }
    std::memcpy(values, bytes_.data(), count * sizeof(T));
    bytes_ = bytes_.subspan(count * sizeof(T));
  }
  template <typename T>
  T take() {
    T value = {};
    take(&value, 1);
    return value;
  }
  /// A count of items that take at least `each` bytes: never more than there can be.
  std::size_t take_count(std::size_t each) {
    const auto count = take<std::uint64_t>();
    if (count > bytes_.size() / each) sound_ = false;
    return sound_ ? static_cast<std::size_t>(count) : 0;
  }
  [[nodiscard]] bool sound() const { return sound_; }
  [[nodiscard]] bool at_end() const { return sound_ && bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
  bool sound_ = true;
};

/// The blobs of a state, in the order in which they stand in the file.
template <typename State, typename Visit>
void for_each_blob(State& state, Visit visit) {
  visit(state.main);
  visit(state.draft);
  for (auto& c : state.checkpoints) {
    visit(c.main);
    visit(c.draft);
    visit(c.speculative);
  }
}

Bytes head_of(const std::string& shape, const SlotState& state) {
  Bytes head;
  for (const std::string* const text : {&shape, &state.owner}) {
    append<std::uint64_t>(head, text->size());
    append(head, text->data(), text->size());
  }
  append<std::uint64_t>(head, state.tokens.size());
  append(head, state.tokens.data(), state.tokens.size());
  append<std::uint64_t>(head, state.checkpoints.size());
  for (const SlotState::Checkpoint& c : state.checkpoints) {
    append(head, c.n_tokens);
    append(head, c.pos_min);
    append(head, c.pos_max);
  }
  for_each_blob(state, [&](const Bytes& blob) { append<std::uint64_t>(head, blob.size()); });
  return head;
}

Error damaged(const std::string& path, std::string_view how) {
  return {ErrorCode::kCorruptFile, fmt::format("{}: no conversation that can be read", path),
          std::string(how)};
}

/// A head with the sizes of the blobs that follow it.
struct Parsed {
  ConversationHead head;
  SlotState state;  ///< tokens and checkpoints' positions; blobs still empty
  std::vector<std::uint64_t> blob_sizes;
  std::uint64_t state_checksum = 0;
};

std::optional<Parsed> parse_head(std::span<const std::uint8_t> bytes) {
  Cursor in(bytes);
  Parsed parsed;
  for (std::string* const text : {&parsed.head.shape, &parsed.state.owner}) {
    text->resize(in.take_count(1));
    in.take(text->data(), text->size());
  }
  parsed.state.tokens.resize(in.take_count(sizeof(std::int32_t)));
  in.take(parsed.state.tokens.data(), parsed.state.tokens.size());
  const std::size_t checkpoints = in.take_count(16);
  for (std::size_t i = 0; i < checkpoints; ++i) {
    SlotState::Checkpoint& c = parsed.state.checkpoints.emplace_back();
    c.n_tokens = in.take<std::int64_t>();
    c.pos_min = in.take<std::int32_t>();
    c.pos_max = in.take<std::int32_t>();
  }
  for_each_blob(parsed.state, [&](Bytes&) { parsed.blob_sizes.push_back(in.take<std::uint64_t>()); });
  if (!in.at_end()) return std::nullopt;
  parsed.head.owner = parsed.state.owner;
  parsed.head.tokens = parsed.state.tokens;
  return parsed;
}

Result<Parsed> read_head(const File& file, const std::string& path) {
  if (!file.is_open()) return std::unexpected(damaged(path, std::strerror(errno)));
  Prefix prefix = {};
  if (!file.read({reinterpret_cast<std::uint8_t*>(&prefix), sizeof(prefix)}) ||
      std::memcmp(prefix.magic, kMagic, sizeof(kMagic)) != 0) {
    return std::unexpected(damaged(path, "it does not begin like one"));
  }
  const std::uint64_t size = file.size();
  if (prefix.head_bytes > kLargestHead || size < sizeof(prefix) + prefix.head_bytes ||
      size - sizeof(prefix) - prefix.head_bytes != prefix.state_bytes) {
    return std::unexpected(damaged(path, "it is truncated"));
  }
  Bytes bytes(prefix.head_bytes);
  if (!file.read(bytes) || XXH3_64bits(bytes.data(), bytes.size()) != prefix.head_checksum) {
    return std::unexpected(damaged(path, "its head is damaged"));
  }
  auto parsed = parse_head(bytes);
  if (!parsed) return std::unexpected(damaged(path, "its head is damaged"));
  std::uint64_t sum = 0;
  for (const std::uint64_t blob : parsed->blob_sizes) {
    if (blob > prefix.state_bytes - sum) return std::unexpected(damaged(path, "its head is damaged"));
    sum += blob;
  }
  if (sum != prefix.state_bytes) return std::unexpected(damaged(path, "its head is damaged"));
  parsed->head.state_bytes = sum + parsed->head.tokens.size() * sizeof(std::int32_t);
  parsed->state_checksum = prefix.state_checksum;
  return std::move(*parsed);
}

bool write_all(const File& file, const Bytes& head, const SlotState& state) {
  XXH3_state_t* const hash = XXH3_createState();
  XXH3_64bits_reset(hash);
  Prefix prefix = {};
  std::memcpy(prefix.magic, kMagic, sizeof(kMagic));
  prefix.head_bytes = head.size();
  prefix.head_checksum = XXH3_64bits(head.data(), head.size());
  for_each_blob(state, [&](const Bytes& blob) {
    XXH3_64bits_update(hash, blob.data(), blob.size());
    prefix.state_bytes += blob.size();
  });
  prefix.state_checksum = XXH3_64bits_digest(hash);
  XXH3_freeState(hash);
  bool written =
      file.write({reinterpret_cast<const std::uint8_t*>(&prefix), sizeof(prefix)}) && file.write(head);
  for_each_blob(state, [&](const Bytes& blob) { written = written && file.write(blob); });
  return written;
}

}  // namespace

Status write_conversation(const std::string& path, const std::string& shape, const SlotState& state) {
  const std::string partial = path + ".partial";
  ::unlink(partial.c_str());
  File file(partial, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
  const bool written = file.is_open() && write_all(file, head_of(shape, state), state) && file.close() &&
                       ::rename(partial.c_str(), path.c_str()) == 0;
  if (written) return {};
  const int why = errno;
  ::unlink(partial.c_str());
  return fail(ErrorCode::kUnavailable, fmt::format("{}: a conversation cannot be written", path),
              std::strerror(why));
}

std::uint64_t conversation_file_size(const std::string& shape, const SlotState& state) {
  std::uint64_t blobs = 0;
  for_each_blob(state, [&](const Bytes& blob) { blobs += blob.size(); });
  return sizeof(Prefix) + head_of(shape, state).size() + blobs;
}

Result<ConversationHead> read_conversation_head(const std::string& path) {
  const File file(path, O_RDONLY);
  auto parsed = read_head(file, path);
  if (!parsed) return std::unexpected(parsed.error());
  return std::move(parsed->head);
}

Result<SlotState> read_conversation(const std::string& path, const std::string& shape) {
  const File file(path, O_RDONLY);
  auto parsed = read_head(file, path);
  if (!parsed) return std::unexpected(parsed.error());
  if (parsed->head.shape != shape) return std::unexpected(damaged(path, "it belongs to another model"));
  XXH3_state_t* const hash = XXH3_createState();
  XXH3_64bits_reset(hash);
  bool read = true;
  std::size_t next = 0;
  for_each_blob(parsed->state, [&](Bytes& blob) {
    blob.resize(read ? parsed->blob_sizes[next++] : 0);
    read = read && file.read(blob);
    XXH3_64bits_update(hash, blob.data(), blob.size());
  });
  const bool sound = read && XXH3_64bits_digest(hash) == parsed->state_checksum;
  XXH3_freeState(hash);
  if (!sound) return std::unexpected(damaged(path, "it is damaged"));
  return std::move(parsed->state);
}

}  // namespace switchyard::engine
