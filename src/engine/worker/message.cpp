#include "engine/worker/message.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace switchyard::engine::worker {
namespace {

struct Head {
  std::uint8_t kind;
  std::uint8_t unused;
  std::uint16_t blobs;
  std::uint32_t fields;
};

constexpr std::uint32_t kMostFields = 64U << 20;
constexpr std::uint64_t kMostBlob = std::uint64_t{64} << 30;
constexpr std::size_t kStep = std::size_t{1} << 20;

std::unexpected<Error> no_message() {
  return fail(ErrorCode::kInternal, "a worker process and the server do not understand each other");
}

template <typename Container>
Status fill(Container& to, std::uint64_t size, const ByteSource& source) {
  while (to.size() < size) {
    const std::size_t begin = to.size();
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(size - begin, kStep));
    to.resize(begin + step);
    if (const Status read = source({reinterpret_cast<std::uint8_t*>(to.data()) + begin, step}); !read)
      return read;
  }
  return {};
}

}  // namespace

FieldWriter& FieldWriter::number(std::uint64_t value) {
  fields_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return *this;
}

FieldWriter& FieldWriter::real(double value) {
  fields_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return *this;
}

FieldWriter& FieldWriter::text(std::string_view value) {
  number(value.size());
  fields_ += value;
  return *this;
}

std::string_view FieldReader::take(std::size_t size) {
  if (size > rest_.size()) {
    missing_ = true;
    rest_ = {};
    return {};
  }
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

std::uint64_t FieldReader::number() {
  std::uint64_t value = 0;
  if (const std::string_view bytes = take(sizeof(value)); !bytes.empty())
    std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

double FieldReader::real() {
  double value = 0;
  if (const std::string_view bytes = take(sizeof(value)); !bytes.empty())
    std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

std::string FieldReader::text() { return std::string(take(number())); }

std::string message_head(Kind kind, std::size_t fields, std::span<const std::size_t> blobs) {
  const Head head{.kind = static_cast<std::uint8_t>(kind),
                  .unused = 0,
                  .blobs = static_cast<std::uint16_t>(blobs.size()),
                  .fields = static_cast<std::uint32_t>(fields)};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof(head));
  for (const std::uint64_t size : blobs) bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  return bytes;
}

Result<Message> read_message(const ByteSource& source) {
  Head head{};
  if (const Status read = source({reinterpret_cast<std::uint8_t*>(&head), sizeof(head)}); !read)
    return std::unexpected(read.error());
  if (head.kind < static_cast<std::uint8_t>(Kind::kStart) ||
      head.kind > static_cast<std::uint8_t>(kLastKind) || head.unused != 0 || head.fields > kMostFields)
    return no_message();
  std::vector<std::uint64_t> sizes(head.blobs);
  const std::span<std::uint64_t> all(sizes);
  if (const Status read =
          source({reinterpret_cast<std::uint8_t*>(all.data()), all.size() * sizeof(std::uint64_t)});
      !read)
    return std::unexpected(read.error());
  if (std::ranges::any_of(sizes, [](std::uint64_t size) { return size > kMostBlob; })) return no_message();
  Message message{.kind = static_cast<Kind>(head.kind)};
  if (const Status read = fill(message.fields, head.fields, source); !read)
    return std::unexpected(read.error());
  for (const std::uint64_t size : sizes) {
    if (const Status read = fill(message.blobs.emplace_back(), size, source); !read)
      return std::unexpected(read.error());
  }
  return message;
}

}  // namespace switchyard::engine::worker
