"""What the benchmarks share: servers of both kinds, timed requests, rows of a table.

Every figure compares within one run: what is compared takes turns, so that a busy minute of the
machine falls on both. Medians are of the turns."""

import contextlib
import http.client
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import admin, gguf_files, paths  # noqa: E402,F401  (handed on to the benchmarks)
from support.process import Background, Server, peer_words, serve_words, wait_until  # noqa: E402,F401

SMOLLM2, GEMMA = paths.SMOLLM2, paths.GEMMA
SHORT = {"SmolLM2-135M-Instruct.Q4_1": "SmolLM2 135M", "gemma-3-270m-q4_k_m": "Gemma 3 270M"}


@dataclass
class Row:
    """One line of a table. `met` is None where there is no goal."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None


@dataclass
class Table:
    title: str
    commands: list[str]
    rows: list[Row] = field(default_factory=list)
    raw: dict = field(default_factory=dict)  # what the rows were made of, for docs/measurements
    columns: tuple[str, ...] = ("", "Switchyard", "peer", "ratio", "goal", "")

    def add(self, what: str, ours: str, peer: str = "", ratio: str = "", goal: str = "", met: bool | None = None):
        self.rows.append(Row(what, ours, peer, ratio, goal, met))
        verdict = "" if met is None else "  goal met" if met else "  GOAL MISSED"
        print(f"  {what}: {ours}" + (f", peer {peer}" if peer else "") + (f", {ratio}" if ratio else "") + verdict,
              flush=True)


def ms(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def mib(size: float) -> str:
    return f"{size / 2 ** 20:.1f} MiB" if size < 2 ** 27 else f"{size / 2 ** 20:.0f} MiB"


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


median = statistics.median


@contextlib.contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="switchyard-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def ours(*words, data: Path | None = None):
    with folder() as own:
        own_words = () if paths.TESTING_PEER else ("--data-dir", data or own)
        server = Server(serve_words(*words, *own_words))
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def peer(*words):
    server = Server(peer_words(*words))
    try:
        yield server
    finally:
        server.stop()


def shown(*words) -> str:
    """A command line as the tables show it: without this machine's folders."""
    return " ".join(Path(str(word)).name if str(word).startswith("/") else str(word) for word in words)


@dataclass
class Timed:
    first: float   # seconds to the first token
    times: list[float]  # when each token came, on the monotonic clock

    @property
    def rate(self) -> float:
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.times, self.times[1:])]


def complete(server: Server, model: str | None, tokens: int, prompt="Hello", stop: threading.Event | None = None,
             key: str | None = None, patience: float = 300, **fields) -> Timed:
    """One streamed /completion on a connection of its own, each token timed as it arrives, until it
    ends or `stop` is set. `key` is sent where there is one. TimeoutError where nothing comes for `patience` seconds."""
    body = {"prompt": prompt, "n_predict": tokens, "stream": True, "temperature": 0, "cache_prompt": False,
            "ignore_eos": True, **fields}
    if model:
        body["model"] = model
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=patience)
    connection.connect()
    began = time.perf_counter()
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection.request("POST", "/completion", json.dumps(body), headers)
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    times = []
    for line in reply:
        if line.startswith(b"data:") and b'"content"' in line:
            times.append(time.perf_counter())
            if b'"stop":true' in line:
                times.pop()  # the closing frame has no token
                break
            if stop and stop.is_set():
                break
    connection.close()
    assert times, "no token came"
    return Timed(times[0] - began, times)


class PeakMemory:
    """Highest PSS of a server and its children while it is sampled."""

    def __init__(self, server: Server):
        self.peak = 0
        self._server, self._stop = server, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.peak = max(self.peak, self._server.pss())
            self._stop.wait(0.05)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def settled(server: Server) -> int:
    """Resident bytes once they no longer grow: an engine's buffers are filled behind it."""
    before = 0
    while (now := server.rss()) > before + (1 << 20):
        before = now
        time.sleep(1)
    return now


def wait_inspected(server: Server, *models: str) -> None:
    """Until the background has looked into these files."""
    wait_until(lambda: all("predicted_bytes" in admin.version(server, model) for model in models), "inspections")
