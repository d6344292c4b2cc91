#include "shadowing/reply_text.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace switchyard::shadowing {
namespace {

using Json = nlohmann::json;

Json parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

const Json& at(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

std::string text_at(const Json& object, const char* key) {
  const Json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::size_t index_of(const Json& object, const char* key = "index") {
  const Json& value = at(object, key);
  return value.is_number_unsigned() ? value.get<std::size_t>() : 0;
}

/// Arguments that came in pieces are the model's own text; those that came whole were written anew.
std::string in_one_form(const std::string& arguments) {
  const Json value = parse(arguments);
  return value.is_discarded() ? arguments : value.dump();
}

/// The pieces of one reply, put together in the order of their places.
class Pieces {
 public:
  void add(std::size_t choice, std::string_view text) { choices_[choice].text += text; }
  /// A piece of what a tool is called with.
  void add_call(std::size_t choice, std::size_t call, std::string_view name, std::string_view arguments) {
    Call& one = choices_[choice].calls[call];
    one.name += name;
    one.arguments += arguments;
  }
  /// What a tool is called with, whole.
  void set_call(std::size_t choice, std::size_t call, std::string name, std::string arguments) {
    choices_[choice].calls[call] = {std::move(name), std::move(arguments)};
  }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const auto& [place, choice] : choices_) {
      if (!all.empty()) all += '\n';
      all += choice.text;
      for (const auto& [number, call] : choice.calls) {
        if (!all.empty()) all += '\n';
        all += call.name + " " + in_one_form(call.arguments);
      }
    }
    return all;
  }

 private:
  struct Call {
    std::string name, arguments;
  };
  struct Choice {
    std::string text;
    std::map<std::size_t, Call> calls;
  };
  std::map<std::size_t, Choice> choices_;
};

void take_tokens(const Json& reply, ReplyText& into) {
  for (const auto& [object, key] :
       {std::pair{"usage", "completion_tokens"}, std::pair{"usage", "output_tokens"},
        std::pair{"timings", "predicted_n"}}) {
    const Json& count = at(at(reply, object), key);
    if (count.is_number_unsigned()) into.tokens = count.get<std::uint64_t>();
  }
}

void take_error(const Json& reply, ReplyText& into) {
  const Json& error = at(reply, "error");
  if (error.is_null()) return;
  const std::string message = text_at(error, "message");
  into.error = message.empty() ? "an error" : message;
}

/// OpenAI's choices: `part` is "message" of a whole reply and "delta" of a stream's piece.
void take_choices(const Json& reply, const char* part, Pieces& pieces) {
  const Json& choices = at(reply, "choices");
  if (!choices.is_array()) return;
  for (const Json& choice : choices) {
    const std::size_t place = index_of(choice);
    pieces.add(place, text_at(choice, "text"));  // of completions
    const Json& message = at(choice, part);
    pieces.add(place, text_at(message, "content"));
    const Json& calls = at(message, "tool_calls");
    if (!calls.is_array()) continue;
    for (std::size_t n = 0; n < calls.size(); ++n) {
      const std::size_t number = calls[n].contains("index") ? index_of(calls[n]) : n;
      const Json& function = at(calls[n], "function");
      pieces.add_call(place, number, text_at(function, "name"), text_at(function, "arguments"));
    }
  }
}

/// Items of a whole reply of /v1/responses.
void take_output(const Json& reply, Pieces& pieces) {
  const Json& output = at(reply, "output");
  if (!output.is_array()) return;
  std::size_t calls = 0;
  for (const Json& item : output) {
    if (text_at(item, "type") == "function_call")
      pieces.set_call(0, calls++, text_at(item, "name"), text_at(item, "arguments"));
    const Json& content = at(item, "content");
    if (text_at(item, "type") != "message" || !content.is_array()) continue;
    for (const Json& part : content) pieces.add(0, text_at(part, "text"));
  }
}

/// Blocks of a whole Anthropic message.
void take_blocks(const Json& reply, Pieces& pieces) {
  const Json& content = at(reply, "content");
  if (!content.is_array()) return;
  for (std::size_t n = 0; n < content.size(); ++n) {
    if (text_at(content[n], "type") == "text") pieces.add(0, text_at(content[n], "text"));
    if (text_at(content[n], "type") == "tool_use") {
      const Json& input = at(content[n], "input");
      pieces.set_call(0, n, text_at(content[n], "name"), input.is_null() ? "" : input.dump());
    }
  }
}

/// One event of an Anthropic stream.
void take_message_event(const Json& event, Pieces& pieces, ReplyText& into) {
  const std::string type = text_at(event, "type");
  take_tokens(event, into);
  if (type == "message_stop") into.whole = true;
  if (type == "content_block_start" && text_at(at(event, "content_block"), "type") == "tool_use")
    pieces.add_call(0, index_of(event), text_at(at(event, "content_block"), "name"), "");
  if (type != "content_block_delta") return;
  const Json& delta = at(event, "delta");
  pieces.add(0, text_at(delta, "text"));
  const std::string arguments = text_at(delta, "partial_json");
  if (!arguments.empty()) pieces.add_call(0, index_of(event), "", arguments);
}

/// One event of /v1/responses. Its last one has the whole reply.
void take_response_event(const Json& event, Pieces& pieces, ReplyText& into) {
  if (text_at(event, "type") != "response.completed") return;
  const Json& response = at(event, "response");
  take_output(response, pieces);
  take_tokens(response, into);
  into.whole = true;
}

void take_event(ReplyForm form, std::string_view data, Pieces& pieces, ReplyText& into) {
  if (data == "[DONE]") {
    into.whole = form == ReplyForm::kChat || form == ReplyForm::kCompletion || into.whole;
    return;
  }
  const Json event = parse(data);
  if (!event.is_object()) return;
  take_error(event, into);
  switch (form) {
    case ReplyForm::kChat:
    case ReplyForm::kCompletion:
      take_choices(event, "delta", pieces);
      take_tokens(event, into);
      break;
    case ReplyForm::kResponses: take_response_event(event, pieces, into); break;
    case ReplyForm::kMessages: take_message_event(event, pieces, into); break;
  }
}

}  // namespace

std::optional<ReplyForm> reply_form(std::string_view path) {
  constexpr std::array<std::pair<std::string_view, ReplyForm>, 6> kForms{
      {{"/v1/chat/completions", ReplyForm::kChat},
       {"/chat/completions", ReplyForm::kChat},
       {"/v1/completions", ReplyForm::kCompletion},
       {"/v1/responses", ReplyForm::kResponses},
       {"/responses", ReplyForm::kResponses},
       {"/v1/messages", ReplyForm::kMessages}}};
  const auto found = std::ranges::find(kForms, path, &std::pair<std::string_view, ReplyForm>::first);
  return found == kForms.end() ? std::nullopt : std::optional(found->second);
}

ReplyText read_body(ReplyForm form, std::string_view body) {
  ReplyText read;
  const Json reply = parse(body);
  if (!reply.is_object()) return read;
  take_error(reply, read);
  take_tokens(reply, read);
  Pieces pieces;
  switch (form) {
    case ReplyForm::kChat:
    case ReplyForm::kCompletion:
      take_choices(reply, "message", pieces);
      read.whole = at(reply, "choices").is_array();
      break;
    case ReplyForm::kResponses:
      take_output(reply, pieces);
      read.whole = at(reply, "output").is_array();
      break;
    case ReplyForm::kMessages:
      take_blocks(reply, pieces);
      read.whole = at(reply, "content").is_array();
      break;
  }
  read.text = pieces.text();
  return read;
}

ReplyText read_stream(ReplyForm form, std::string_view bytes) {
  ReplyText read;
  Pieces pieces;
  while (!bytes.empty()) {
    std::string_view line = bytes.substr(0, bytes.find('\n'));
    bytes.remove_prefix(std::min(line.size() + 1, bytes.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    take_event(form, line, pieces, read);
  }
  read.text = pieces.text();
  return read;
}

bool is_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_container = first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
  return is_container && Json::accept(text);
}

}  // namespace switchyard::shadowing
