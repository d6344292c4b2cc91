#include "http/multipart.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "http/json.h"

namespace switchyard::http {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The value of `name` among the parameters of a header: `form-data; name="a"; filename="b;c"`.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  auto at = header.find(';');
  while (at != std::string_view::npos) {
    header = trimmed(header.substr(at + 1));
    const auto equals = header.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string key = lower(trimmed(header.substr(0, equals)));
    header = trimmed(header.substr(equals + 1));
    std::string value;
    if (header.starts_with('"')) {
      std::size_t i = 1;
      for (; i < header.size() && header[i] != '"'; ++i) {
        if (header[i] == '\\' && i + 1 < header.size() && header[i + 1] == '"') ++i;
        value.push_back(header[i]);
      }
      header.remove_prefix(std::min(i + 1, header.size()));
    } else {
      value = trimmed(header.substr(0, header.find(';')));
    }
    if (key == name) return value;
    at = header.find(';');
  }
  return std::nullopt;
}

struct Part {
  std::string name;
  std::optional<std::string> filename;
  std::string content_type;
  std::string_view content;
};

Result<Part> parse_part(std::string_view text) {
  const auto head_end = text.find("\r\n\r\n");
  if (head_end == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "a multipart part has no end of its headers");
  }
  Part part;
  part.content = text.substr(head_end + 4);
  std::string_view head = text.substr(0, head_end);
  bool named = false;
  while (!head.empty()) {
    const auto line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    head = line_end == std::string_view::npos ? std::string_view() : head.substr(line_end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string key = lower(trimmed(line.substr(0, colon)));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (key == "content-type") part.content_type = value;
    if (key != "content-disposition") continue;
    if (auto name = parameter(value, "name")) {
      part.name = std::move(*name);
      named = true;
    }
    part.filename = parameter(value, "filename");
  }
  if (!named) return fail(ErrorCode::kInvalidArgument, "a multipart part has no name");
  return part;
}

void add_field(Json& fields, const Part& part) {
  if (!fields.contains(part.name)) {
    fields[part.name] = part.content;
    return;
  }
  Json& field = fields[part.name];
  if (!field.is_array()) field = Json::array({field});
  field.push_back(part.content);
}

}  // namespace

bool is_multipart(const Request& request) {
  return lower(request.header("Content-Type")).starts_with("multipart/form-data");
}

Result<Form> parse_multipart(std::string_view content_type, std::string_view body) {
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty()) {
    return fail(ErrorCode::kInvalidArgument, "multipart/form-data without a boundary");
  }
  const std::string delimiter = "--" + *boundary;
  const auto first = body.find(delimiter);
  if (first != 0 && (first == std::string_view::npos || !body.substr(0, first).ends_with("\r\n"))) {
    return fail(ErrorCode::kInvalidArgument, "the multipart body does not begin with its boundary");
  }
  Form form;
  Json fields = Json::object();
  body.remove_prefix(first + delimiter.size());
  while (!body.starts_with("--")) {
    if (!body.starts_with("\r\n")) {
      return fail(ErrorCode::kInvalidArgument, "a multipart boundary is not followed by a line end");
    }
    body.remove_prefix(2);
    const auto end = body.find("\r\n" + delimiter);
    if (end == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "the multipart body ends before its last boundary");
    }
    const auto part = parse_part(body.substr(0, end));
    if (!part) return std::unexpected(part.error());
    body.remove_prefix(end + 2 + delimiter.size());
    if (part->filename) {
      form.files[part->name] = {
          {part->content.begin(), part->content.end()}, *part->filename, part->content_type};
    } else {
      add_field(fields, *part);
    }
  }
  form.json = to_text(fields);
  return form;
}

}  // namespace switchyard::http
