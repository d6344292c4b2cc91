#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shadowing/reply_text.h"
#include "switchyard/result.h"
#include "traffic/shadow.h"

// A user's request made anew for another version. Pure.

namespace switchyard::shadowing {

struct RequestCopy {
  std::string body;    ///< for the other version, to be streamed
  std::string prompt;  ///< what was asked, as JSON: of the body that alone
  traffic::WantsJson wants_json = traffic::WantsJson::kNo;
};

/// `body` as the engine `model` is to be asked, at most `max_tokens` long (0: as it says). Streamed, so that
/// the copy can end at every token. Errors: kInvalidArgument for a body that is no object.
[[nodiscard]] Result<RequestCopy> copy_request(ReplyForm form, std::string_view body,
                                               const std::string& model, std::uint32_t max_tokens);

/// The body that asks `model` for the embeddings of two texts.
[[nodiscard]] std::string embeddings_request(const std::string& model, const std::string& a,
                                             const std::string& b);
/// How near the two are by the reply. Nothing where that has not two embeddings.
[[nodiscard]] std::optional<double> similarity_of(std::string_view reply);

}  // namespace switchyard::shadowing
