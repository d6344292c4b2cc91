"""What one model's stream feels of another model's load and work, and whether the front answers
meanwhile."""

import http.client
import threading
import time

from common import (GEMMA, SMOLLM2, Background, Table, complete, median, ms, ours, paths, peer, percentile, shown,
                    wait_inspected, wait_until)

FLAGS = ("--models-max", 2, "--threads", 2, "--ctx-size", 4096)
TOKENS, LOADS, TURNS = 250, 4, 3


def beside_loads(server) -> tuple[list[float], list[float]]:
    """Gaps between SmolLM2's tokens at rest, and those that touch a load of Gemma 3."""
    complete(server, SMOLLM2, 8)
    rest = complete(server, SMOLLM2, TOKENS).gaps
    during = []
    for _ in range(LOADS):
        if server.status(GEMMA) != "unloaded":
            server.unload(GEMMA)
        stop = threading.Event()
        stream = Background(complete, server, SMOLLM2, 3500, stop=stop)
        wait_until(lambda: _busy(server), "the stream")
        begin = time.perf_counter()
        server.load(GEMMA)
        end = time.perf_counter()
        stop.set()
        times = stream.result().times
        during += [b - a for a, b in zip(times, times[1:]) if b > begin and a < end]
    return rest, during


def _busy(server) -> bool:
    return any(slot["is_processing"] for slot in server.get(f"/slots?model={SMOLLM2}").json())


def together(server) -> float:
    """Each model's rate beside the other over its rate alone, of the same tokens of a reply, added up: a token takes
    longer the longer its context is."""
    alone = {model: complete(server, model, 1000).times for model in (SMOLLM2, GEMMA)}
    stop = threading.Event()
    streams = {model: Background(complete, server, model, 1000, stop=stop) for model in (SMOLLM2, GEMMA)}
    time.sleep(8)  # long enough to count tokens in; nothing is waited for
    stop.set()
    times = {model: stream.result().times for model, stream in streams.items()}
    begin = max(one[0] for one in times.values())
    end = min(one[-1] for one in times.values())
    shares = {}
    for model, one in times.items():
        within = [index for index, time_of in enumerate(one) if begin <= time_of <= end]
        first, last = within[0], within[-1]
        shares[model] = (alone[model][last] - alone[model][first]) / (one[last] - one[first])
    return sum(shares.values())


def front_under_load(server) -> dict[str, list[float]]:
    """Times of /health and /v1/models while SmolLM2 generates and Gemma 3 comes and goes."""
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            complete(server, GEMMA, 4)
            server.unload(GEMMA)

    work = [Background(complete, server, SMOLLM2, 4000, stop=stop), Background(come_and_go)]
    seen = {"/health": [], "/v1/models": []}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for path, times in seen.items():
            begin = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            times.append(time.perf_counter() - begin)
        time.sleep(0.005)
    stop.set()
    for one in work:
        one.result()
    return seen


def run() -> Table:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    table = Table("Neighbours: 2 threads for each model",
                  [shown("switchyard", "serve", *words), shown("llama-server", *words)])
    with ours(*words) as us:
        wait_inspected(us, SMOLLM2, GEMMA)
        turns = [beside_loads(us) for _ in range(TURNS)]
        sums = [together(us) for _ in range(TURNS)]
        front = front_under_load(us)
    with peer(*words) as them:
        peer_turns = [beside_loads(them) for _ in range(TURNS)]
        peer_sums = [together(them) for _ in range(1)]
    mine, theirs = ([[percentile(gaps, 0.99) for gaps in turn] for turn in all_turns]
                    for all_turns in (turns, peer_turns))
    table.raw = {"gaps_s": turns, "peer_gaps_s": peer_turns, "p99_rest_and_load_s": mine,
                 "peer_p99_rest_and_load_s": theirs, "sums": sums, "peer_sums": peer_sums}
    ratio, peer_ratio = (median(load / rest for rest, load in p99s) for p99s in (mine, theirs))
    table.add("SmolLM2's gap between tokens, p99: at rest", *(ms(median(rest for rest, _ in p99s))
                                                             for p99s in (mine, theirs)))
    table.add("the same while Gemma 3 loads", *(ms(median(load for _, load in p99s)) for p99s in (mine, theirs)),
              f"{ratio:.2f}x of rest (peer {peer_ratio:.1f}x)", "<= 1.5x", ratio <= 1.5)
    table.add("both models streaming: each one's share of its rate alone, added up", f"{median(sums):.2f}",
              f"{median(peer_sums):.2f}", "", ">= 1.05", median(sums) >= 1.05)
    for path, times in front.items():
        p99 = percentile(times, 0.99)
        table.raw[path] = {"p50_s": median(times), "p99_s": p99, "n": len(times)}
        table.add(f"{path} while models load and generate, p99", ms(p99), "", f"median {ms(median(times))}",
                  "< 50 ms", p99 < 0.05)
    return table
