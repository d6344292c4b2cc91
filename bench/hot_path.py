"""What keys, limits, a split, an experiment and their records cost a request: the same model with none and with all
of them, in turns."""

import http.client
import json

from common import (SMOLLM2, Background, Table, complete, contextlib, folder, median, ms, ours, paths, percentile,
                    shown)

FLAGS = ("--threads", 2)
TURNS, TOKENS, LOOKS = 11, 128, 30
# Two versions of one file share its weights.
CATALOG = """
defaults: {{args: {{ctx-size: 4096, parallel: 4}}}}
models:
  - id: {model}
    versions:
      - {{version: "1", file: {file}}}
      - {{version: "2", file: {file}}}
"""


def post(server, path: str, body: dict, key: str | None = None, method="POST") -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, json.dumps(body), headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    assert reply.status in (200, 201), answer
    return answer


def with_everything(server) -> str:
    """Sets it all up; the key to ask "chat" with."""
    made = post(server, "/admin/v1/keys", {"key_alias": "acme", "models": ["chat"], "rpm_limit": 1_000_000,
                                           "tpm_limit": 1_000_000_000, "max_parallel_requests": 100, "weight": 2})
    post(server, "/admin/v1/aliases/chat", {"to": f"{SMOLLM2}@1"}, made["admin_key"], method="PUT")
    post(server, "/admin/v1/experiments",
         {"id": "x", "alias": "chat", "control": f"{SMOLLM2}@1", "variants": [f"{SMOLLM2}@2"], "metric": "latency",
          "guardrails": ["error_rate"]}, made["admin_key"])
    return made["key"]


def rate(server, model: str, key: str | None, streams: int) -> float:
    """Tokens a second of all streams together, from the moment when all have begun to that when the first ends."""
    timed = [one.result() for one in [Background(complete, server, model, TOKENS, key=key) for _ in range(streams)]]
    begin, end = max(one.times[0] for one in timed), min(one.times[-1] for one in timed)
    return sum(begin < t <= end for one in timed for t in one.times) / (end - begin)


def run() -> Table:
    table = Table("Keys, limits, a split and an experiment against none of them",
                  [shown("switchyard", "serve", "--config", "two-versions.yaml", *FLAGS)])
    with contextlib.ExitStack() as stack:
        config = stack.enter_context(folder()) / "two-versions.yaml"
        config.write_text(CATALOG.format(model=SMOLLM2, file=paths.SMOLLM2_FILE))
        plain = stack.enter_context(ours("--config", config, *FLAGS))
        full = stack.enter_context(ours("--config", config, *FLAGS))
        key = with_everything(full)
        sides = {"plain": (plain, f"{SMOLLM2}@1", None), "full": (full, "chat", key)}
        for side in sides.values():
            complete(side[0], side[1], 8, key=side[2])
        for streams in (1, 4):
            turns = []
            for turn in range(TURNS):
                order = list(sides) if turn % 2 else list(reversed(sides))
                turns.append({name: rate(*sides[name], streams) for name in order})
            ratio = median([turn["full"] / turn["plain"] for turn in turns])
            table.raw[f"rate of {streams}"] = turns
            table.add(f"{streams} stream{'s' if streams > 1 else ''}: with all of it; without",
                      f"{median([turn['full'] for turn in turns]):.1f} tokens/s",
                      f"{median([turn['plain'] for turn in turns]):.1f} tokens/s", f"{ratio:.3f}x", "0.99x",
                      ratio >= 0.99)
        firsts = {name: [] for name in sides}
        for _ in range(LOOKS):
            for name, (server, model, secret) in sides.items():
                firsts[name].append(complete(server, model, 1, key=secret).first)
        table.raw["first"] = firsts
        added = median(firsts["full"]) - median(firsts["plain"])
        table.add("to the first token, median", ms(median(firsts["full"])), ms(median(firsts["plain"])),
                  f"{added * 1000:+.2f} ms")
        table.add("to the first token, p95", ms(percentile(firsts["full"], 0.95)),
                  ms(percentile(firsts["plain"], 0.95)))
    return table
