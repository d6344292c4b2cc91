#pragma once

// A part of server_context_conversations.cpp, which includes llama.cpp's server-context.cpp before it.

namespace switchyard::engine {

// An explicit instantiation may name private members: the standard's own way in, no header is changed.
template <typename Tag, typename Tag::type Member>
struct Reveal {
  friend typename Tag::type member(Tag) { return Member; }
};
#define SWITCHYARD_REVEAL(Tag, Type, name)    \
  struct Tag {                                \
    using type = Type server_context_impl::*; \
    friend type member(Tag);                  \
  };                                          \
  template struct Reveal<Tag, &server_context_impl::name>
SWITCHYARD_REVEAL(Slots, std::vector<server_slot>, slots);
SWITCHYARD_REVEAL(PromptCache, std::unique_ptr<server_prompt_cache>, prompt_cache);
SWITCHYARD_REVEAL(Params, common_params, params_base);
SWITCHYARD_REVEAL(Similarity, float, slot_prompt_similarity);
SWITCHYARD_REVEAL(Batch, server_batch, batch);
#undef SWITCHYARD_REVEAL

struct ProcessTask {
  using type = bool (server_context_impl::*)(server_task&&, bool);
  friend type member(ProcessTask);
};
template struct Reveal<ProcessTask, &server_context_impl::process_single_task>;

struct UpdateSlots {
  using type = void (server_context_impl::*)();
  friend type member(UpdateSlots);
};
template struct Reveal<UpdateSlots, &server_context_impl::update_slots>;

}  // namespace switchyard::engine
