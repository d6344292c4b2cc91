"""Tenants on one model, one of them flooding it; tenants with weights; models that take turns in one place."""

import http.client
import json
import statistics
import threading
import time

from common import (GEMMA, SMOLLM2, Server, Table, complete, contextlib, ms, ours, paths, peer, percentile, shown,
                    wait_inspected)

FLOOD = 64               # requests of one tenant at once
LOOKS = 60               # requests of the other one, one after the other
PATIENCE = 60            # seconds for the one that llama-server is asked
SHARES_FOR = 30          # seconds of two tenants that both flood
TURNS_FOR = 40           # seconds of models that take turns
FLAGS = ("--ctx-size", 8192, "--parallel", 4)


class Traffic:
    """Clients that ask for whole replies, each again as soon as it has one, until the end of a `with`."""

    def __init__(self, server: Server, model: str, clients: int, tokens: int, key: str | None = None, patience=600):
        self.generated, self.waits, self.failures = 0, [], []
        self._server, self._key, self._patience = server, key, patience
        self._body = {"prompt": "Once upon a time", "n_predict": tokens, "temperature": 0, "cache_prompt": False,
                      "ignore_eos": True, "model": model}
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self) -> None:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=self._patience)
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                connection.request("POST", "/completion", json.dumps(self._body), headers)
                reply = connection.getresponse()
                answer = json.loads(reply.read())
                assert reply.status == 200, answer
            except Exception as error:  # noqa: BLE001 (whatever a client sees is a finding)
                if not self._stop.is_set():
                    self.failures.append(repr(error))
                connection.close()
                continue
            with self._lock:
                self.waits.append(time.perf_counter() - began)
                self.generated += answer["tokens_predicted"]
        connection.close()

    def stop(self) -> None:
        self._stop.set()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()
        for thread in self._threads:
            thread.join()


def keys(server: Server, **weights: float) -> dict[str, str]:
    """A key for each tenant. The first key of a server brings an administrator's with it."""
    made, admin = {}, None
    for name, weight in weights.items():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {admin}"} if admin else {})
        connection.request("POST", "/admin/v1/keys", json.dumps({"key_alias": name, "weight": weight}), headers)
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status in (200, 201), answer
        made[name] = answer["key"]
        admin = admin or answer["admin_key"]
        connection.close()
    return made


def look(server: Server, count: int, key: str | None) -> list[float]:
    """Times to the first token of requests that follow one another."""
    return [complete(server, SMOLLM2, 8, "Tell me about the sea.", key=key).first for _ in range(count)]


def flooded(table: Table) -> None:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    with ours(*words, "--threads", 1) as half:
        complete(half, SMOLLM2, 8)
        alone = look(half, LOOKS, None)
    with ours(*words, "--threads", 2) as server:
        complete(server, SMOLLM2, 8)
        secret = keys(server, flood=1, other=1)
        with Traffic(server, SMOLLM2, FLOOD, 64, secret["flood"]) as flood:
            time.sleep(2)
            beside = look(server, LOOKS, secret["other"])
    with peer("-m", paths.SMOLLM2_FILE, *FLAGS, "--threads", 2) as server:
        complete(server, None, 8)
        with Traffic(server, SMOLLM2, FLOOD, 64):
            time.sleep(2)
            try:
                theirs = ms(complete(server, None, 8, "Tell me about the sea.", patience=PATIENCE).first)
            except TimeoutError:  # those that flood are let in before those that wait
                theirs = f"none in {PATIENCE} s"
    assert not flood.failures, flood.failures[:3]
    table.raw["flood"] = {"alone": alone, "beside": beside, "peer": theirs, "flooded": flood.generated}
    ratio = percentile(beside, 0.95) / percentile(alone, 0.95)
    table.add(f"first token beside {FLOOD} requests of another tenant, p95",
              ms(percentile(beside, 0.95)), theirs,
              f"{ratio:.2f}x of {ms(percentile(alone, 0.95))} alone on one of two cores", "2x", ratio <= 2)
    table.add("the same, median", ms(statistics.median(beside)), "",
              f"{statistics.median(beside) / statistics.median(alone):.2f}x of {ms(statistics.median(alone))}")


def weighed(table: Table) -> None:
    for heavy in (1, 3):
        with ours("--models-dir", paths.MODELS, *FLAGS, "--threads", 2) as server:
            complete(server, SMOLLM2, 8)
            secret = keys(server, heavy=heavy, light=1)
            # The light one asks for longer replies: it is tokens that are shared, not requests.
            with Traffic(server, SMOLLM2, 8, 24, secret["heavy"]) as a, Traffic(server, SMOLLM2, 8, 72, secret["light"]) as b:
                time.sleep(4)  # until both have had their first
                before = a.generated, b.generated
                time.sleep(SHARES_FOR)
                after = a.generated, b.generated
        share = (after[0] - before[0]) / sum(late - early for late, early in zip(after, before))
        due = heavy / (heavy + 1)
        table.raw[f"weights {heavy}:1"] = {"share": share, "least replies": min(len(a.waits), len(b.waits))}
        table.add(f"share of generated tokens, weights {heavy}:1, replies of 24 and 72 tokens", f"{share:.3f}", "",
                  f"{share / due:.2f}x of {due:.3f}", "within 10 %", abs(share / due - 1) <= 0.1)


def taking_turns(table: Table) -> None:
    """Two models and room for one, three clients each without a pause."""
    flags = ("--models-dir", paths.MODELS, "--models-max", 1, *FLAGS, "--threads", 2)
    with ours(*flags) as server:
        wait_inspected(server, SMOLLM2, GEMMA)
        waits = {}
        with contextlib.ExitStack() as stack:
            traffic = {model: stack.enter_context(Traffic(server, model, 3, 32)) for model in (SMOLLM2, GEMMA)}
            time.sleep(TURNS_FOR)
            waits = {model: list(one.waits) for model, one in traffic.items()}
        loads = [line for line in server.get("/metrics").text.splitlines()
                 if line.startswith("switchyard_load_seconds_sum")]
        loading = sum(float(line.split()[-1]) for line in loads)
    assert not any(one.failures for one in traffic.values())
    longest = max(max(of) for of in waits.values())
    table.raw["turns"] = {"waits": {model: of for model, of in waits.items()}, "loading": loading}
    table.add("two models, room for one, three clients each: longest wait for a whole reply", ms(longest), "",
              f"{min(len(of) for of in waits.values())} and {max(len(of) for of in waits.values())} replies in "
              f"{TURNS_FOR} s")
    table.add("the same: time in loads", ms(loading), "", f"{loading / TURNS_FOR:.3f} of the time", "0.2",
              loading / TURNS_FOR <= 0.2)
    with peer("--models-dir", paths.MODELS, "--models-max", 1, *FLAGS, "--threads", 2) as server:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Traffic(server, SMOLLM2, 3, 32))
            time.sleep(5)
            second = stack.enter_context(Traffic(server, GEMMA, 3, 32))
            time.sleep(TURNS_FOR / 2)
            replies = len(first.waits), len(second.waits)
            first.stop()  # the others are answered only then
    table.raw["peer turns"] = {"replies": replies}
    table.add("llama-server's router, the second model's clients come 5 s later", "",
              f"{replies[0]} and {replies[1]} replies in {TURNS_FOR // 2} s")


def run() -> Table:
    words = ("--models-dir", paths.MODELS, *FLAGS)
    table = Table("Tenants and models that share", [shown("switchyard", "serve", *words, "--threads", 2),
                                                    shown("llama-server", "-m", paths.SMOLLM2_FILE, *FLAGS, "--threads", 2)])
    flooded(table)
    weighed(table)
    taking_turns(table)
    return table
