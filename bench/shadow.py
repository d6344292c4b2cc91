"""What a user feels of a shadow: first token and speed of their streams without one, with one, and with one
that copies beside them. Model and shadow share the processor."""

import json
import tempfile
import time
from pathlib import Path

from common import GEMMA, SMOLLM2, Table, median, ms, ours, paths, percentile, shown, wait_inspected, wait_until

TOKENS, REQUESTS, TURNS = 64, 8, 3
#: Seconds between a user's requests, in turns: the shorter ones fall on a copy that has just begun.
THINKS = (0.5, 1.0, 2.0, 3.0)
MODES = {"none": None, "shadow": {}, "beside users": {"beside_users": True}}
PATH = "/admin/v1/aliases/chat/shadow"
CONFIG = """
limits: {{models_max: 2}}
defaults: {{args: {{threads: 2, ctx-size: 4096}}}}
models:
  - {{id: small, file: {small}}}
  - {{id: other, file: {other}}}
aliases: [{{name: chat, to: small}}]
"""


def chat(server, text: str) -> tuple[float, float]:
    """Seconds to the first token, and tokens a second after it, of one streamed reply."""
    body = {"model": "chat", "messages": [{"role": "user", "content": text}], "max_tokens": TOKENS, "stream": True,
            "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    began = time.perf_counter()
    times = []
    for _, event in server.stream("/v1/chat/completions", body):
        choices = event.get("choices") if isinstance(event, dict) else None
        if choices and choices[0]["delta"].get("content"):
            times.append(time.perf_counter())
    assert len(times) > TOKENS / 2, f"{len(times)} tokens"
    return times[0] - began, (len(times) - 1) / (times[-1] - times[0])


def set_mode(server, settings: dict | None) -> None:
    if settings is None:
        server.request("DELETE", PATH)
        return
    reply = server.request("PUT", PATH, {"to": "other", "fraction": 1, **settings})
    assert reply.status_code == 200, reply.text


def user(server, turn: int) -> list[tuple[float, float]]:
    """One user who reads, thinks and asks again, with prompts of some 200 tokens."""
    seen = []
    for n in range(REQUESTS):
        seen.append(chat(server, f"Turn {turn}, question {n}. " + "Tell me more about the sea and its ships. " * 20))
        time.sleep(THINKS[n % len(THINKS)])  # what a user does between requests
    return seen


def figures(server) -> dict:
    """Of the shadow once nothing waits any more: nobody else is there now."""
    shadow = wait_until(lambda: (now := server.get(PATH).json())["waiting"] == 0 and now, "the copies", deadline=300)
    return shadow["figures"]


def run() -> Table:
    config = Path(tempfile.mkdtemp(prefix="switchyard-bench-")) / "shadow.yaml"
    config.write_text(CONFIG.format(small=paths.MODELS / f"{SMOLLM2}.gguf", other=paths.MODELS / f"{GEMMA}.gguf"))
    words = ("--config", config)
    table = Table("Shadows: what a user of SmolLM2 feels of copies that go to Gemma 3 on the same 2 cores",
                  [shown("switchyard", "serve", *words)])
    seen = {mode: [] for mode in MODES}
    counts = {}
    with ours(*words) as server:
        wait_inspected(server, "small", "other")
        for model in ("small", "other"):
            server.load(model)
        chat(server, "Hello")
        for turn in range(TURNS):
            for mode, settings in MODES.items():
                set_mode(server, settings)
                seen[mode].append(user(server, turn))
                if settings is not None:
                    count = counts.setdefault(mode, {"compared": 0, "failed": 0, "dropped": 0, "while_asking": 0})
                    count["while_asking"] += server.get(PATH).json()["figures"]["compared"]
                    last = figures(server)
                    count["compared"] += last["compared"]
                    count["failed"] += last["failed"]["total"]
                    count["dropped"] += last["dropped"]["total"]
    table.raw = {"first_and_rate": seen, "counts": counts}
    first = {mode: [one for turn in turns for one, _ in turn] for mode, turns in seen.items()}
    rate = {mode: [one for turn in turns for _, one in turn] for mode, turns in seen.items()}

    def over_none(mode: str, which: int) -> float:
        """The median of the turns' ratios."""
        of = {name: [median(one[which] for one in turn) for turn in seen[name]] for name in (mode, "none")}
        return median(mine / base for mine, base in zip(of[mode], of["none"]))

    for mode in MODES:
        slower, faster = over_none(mode, 0), over_none(mode, 1)
        ratios = "" if mode == "none" else f"first token {slower:.2f}x, tokens/s {faster:.2f}x of none"
        goal, met = "", None
        if mode == "shadow":
            goal, met = "<= 1.10x, >= 0.95x", slower <= 1.1 and faster >= 0.95
        table.add(f"{mode}: a user's first token, median (p95); tokens/s",
                  f"{ms(median(first[mode]))} ({ms(percentile(first[mode], 0.95))}); {median(rate[mode]):.1f}", "",
                  ratios, goal, met)
        if mode in counts:
            count = counts[mode]
            table.add(f"{mode}: copies compared of {TURNS * REQUESTS}",
                      f"{count['compared']}, {count['while_asking']} of them between a user's requests; "
                      f"{count['failed']} failed, {count['dropped']} dropped")
    return table


if __name__ == "__main__":
    print(json.dumps(run().raw))
