"""What a worker process costs: the same model in the server's process and in a worker, in turns."""

from common import (GEMMA, SHORT, SMOLLM2, Background, Table, admin, complete, median, mib, ms, ours, paths, shown,
                    wait_inspected)

FLAGS = ("--threads", 2, "--ctx-size", 4096, "--parallel", 4)
TURNS, TOKENS = 5, 120


def rate(server, model: str, streams: int) -> float:
    """Tokens a second of all streams together, from the moment when all have begun to that when the first ends."""
    timed = [one.result() for one in [Background(complete, server, model, TOKENS) for _ in range(streams)]]
    begin, end = max(one.times[0] for one in timed), min(one.times[-1] for one in timed)
    return sum(begin < t <= end for one in timed for t in one.times) / (end - begin)


def measure(server, model: str) -> dict[str, float]:
    admin.act(server, model, "unload")
    cold = complete(server, model, 1).first
    admin.act(server, model, "park")
    parked = complete(server, model, 1).first
    return {"cold": cold, "parked": parked, "first": median([complete(server, model, 1).first for _ in range(5)]),
            "rate1": rate(server, model, 1), "rate4": rate(server, model, 4), "memory": server.pss()}


def run() -> Table:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    table = Table("In the server's process against a worker process", [
        shown("switchyard", "serve", *words), shown("switchyard", "serve", *words, "--isolation", "process")])
    with ours(*words) as own, ours(*words, "--isolation", "process") as apart:
        for model in (SMOLLM2, GEMMA):
            for server in (own, apart):
                wait_inspected(server, model)
                complete(server, model, 8)
            turns = [(measure(own, model), measure(apart, model)) for _ in range(TURNS)]
            for server in (own, apart):
                admin.act(server, model, "unload")
            table.raw[model] = {"none": [turn[0] for turn in turns], "process": [turn[1] for turn in turns]}
            figures(table, SHORT.get(model, model), turns)
    return table


def figures(table: Table, name: str, turns: list[tuple[dict, dict]]) -> None:
    """`ours` is the worker, `peer` the server's own process; ratios are medians of turns."""
    def of(what, side):
        return median([turn[side][what] for turn in turns])

    def ratio(what):
        return median([turn[1][what] / turn[0][what] for turn in turns])

    for what, text in (("rate1", "one stream"), ("rate4", "four streams")):
        table.add(f"{name}: {text}", f"{of(what, 1):.1f} tokens/s", f"{of(what, 0):.1f} tokens/s", f"{ratio(what):.2f}x")
    for what, text in (("first", "hot"), ("parked", "parked"), ("cold", "cold")):
        added = median([turn[1][what] - turn[0][what] for turn in turns])
        table.add(f"{name}: {text}, to the first token", ms(of(what, 1)), ms(of(what, 0)), f"{added * 1000:+.1f} ms")
    added = median([turn[1]["memory"] - turn[0]["memory"] for turn in turns])
    table.add(f"{name}: memory of all processes", mib(of("memory", 1)), mib(of("memory", 0)), f"{added / 2 ** 20:+.0f} MiB")
