"""Conversations that go on, and what the server says that it kept of them."""

import re

from .paths import GEMMA, SMOLLM2


def story(about: str, sentences: int) -> str:
    """About 20 tokens a sentence, whichever model counts them."""
    return " ".join(f"On day {day} the {about} left the house at noon, saw {day + 3} boats and came home by night."
                    for day in range(sentences))


class Conversation:
    """One that goes on: each turn sends all that was said before."""

    def __init__(self, model: str, about: str = "old fisherman", sentences: int = 62):
        self.model, self.messages = model, [{"role": "user", "content": story(about, sentences)}]

    def say(self, server, more: str = "") -> "Conversation":
        if more:
            self.messages.append({"role": "user", "content": more})
        reply = server.post("/v1/chat/completions", {"model": self.model, "messages": self.messages, "max_tokens": 8,
                                                     "temperature": 0}, timeout=600)
        assert reply.status_code == 200, reply.text
        body = reply.json()
        self.messages.append(body["choices"][0]["message"])
        self.prompt = body["usage"]["prompt_tokens"]
        self.cached = body["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert self.cached == body["timings"]["cache_n"]
        return self

    def continued(self, server, more: str) -> None:
        before = self.prompt
        self.say(server, more)
        assert self.cached >= 0.95 * before, f"{self.cached} of {before} tokens were kept"

    @property
    def replies(self) -> list[str]:
        return [message["content"] for message in self.messages if message["role"] == "assistant"]


def other(model: str) -> str:
    return GEMMA if model == SMOLLM2 else SMOLLM2


def metric(server, name: str) -> float:
    return float(re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics").text, re.MULTILINE).group(1))
