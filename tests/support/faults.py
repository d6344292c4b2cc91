"""Faults, each injected for real, and the users who live through them: tests/test_soaks.py and bench/faults.py."""

import contextlib
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import requests

from . import admin, gguf_files, paths
from .process import DEADLINE, Background, Chat, Server, serve_words, wait_until

VICTIM, BYSTANDER = "alpha", "beta"
CONFIG = """
limits: {{slow_reader_timeout: 1s, memory_budget: 8GiB, retry_backoff_max: 2s}}
conversations: {{memory: 2MiB, disk: 32MiB}}
defaults: {{args: {{threads: 1, ctx-size: 8192, parallel: 8}}}}
models:
  - {{id: alpha, file: {folder}/alpha.gguf, isolation: {isolation}, preload: true, health: {{interval: 2s,
     degraded: 1s, stuck_after: {stuck_after}s, quarantine_after: 100000, backoff_max: 2s}}}}
  - {{id: beta, file: {folder}/beta.gguf, preload: true}}
aliases: [{{name: chat, to: beta@1}}]
"""
STUCK_AFTER = 3


def make_models(folder: Path) -> None:
    """About 2 ms a token."""
    for word in (VICTIM, BYSTANDER):
        gguf_files.make_talker(folder / f"{word}.gguf", word, embd=384, layers=4, context=8192)


def write_config(folder: Path, isolation: str) -> Path:
    file = folder / "switchyard.yaml"
    file.write_text(CONFIG.format(folder=folder, isolation=isolation, stuck_after=STUCK_AFTER))
    return file


def chat_request(model=VICTIM, **fields) -> bytes:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}], "temperature": 0,
                       "stream": True, "ignore_eos": True, **fields}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(request)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


class Pulse:
    """Asks a server's keyless paths and its metrics over and over, each time on a new connection."""

    PATHS = ("/health", "/ready", "/metrics")

    def __init__(self, server: Server):
        self.answers = 0
        self.faults: list[str] = []
        self.seconds: dict[str, list[float]] = {path: [] for path in self.PATHS}
        self._port = server.port
        self._end = threading.Event()
        self._rounds = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self):
        while not self._end.wait(0.02):
            for path in self.PATHS:
                began = time.perf_counter()
                try:
                    status = raw(self._port, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
                except OSError as error:
                    self.faults.append(f"{path}: {error!r}")
                    continue
                self.seconds[path].append(time.perf_counter() - began)
                self.answers += 1
                if not status.startswith(b"HTTP/1.1 200"):
                    self.faults.append(f"{path}: {status[:60]}")
            self._rounds.release()

    def next_round(self):
        """Waits until every path has been asked anew."""
        while self._rounds.acquire(blocking=False):
            pass
        for _ in range(2):
            assert self._rounds.acquire(timeout=DEADLINE), "no answer"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(DEADLINE)
        assert not self.faults and self.answers > 0, (self.faults[:5], self.answers)


def kind_of(error: dict) -> str:
    """Ours, or llama.cpp's own word for an error of its own."""
    return error.get("switchyard_code") or error["type"]


class User:
    """Streams one model's replies, one after the other. Each must be whole and the model's own, or end with an error
    of the API that says why."""

    def __init__(self, server: Server, model: str, tokens: int):
        self.model, self.tokens = model, tokens
        self.replies: list[tuple[float, float]] = []  # when it was asked and whole, monotonic
        self.errors: Counter = Counter()              # by status and code; "frame" where the stream had begun
        self.wrong: list[str] = []
        self.longest_gap = 0.0                        # between two tokens of one reply
        self.seen = 0                                 # tokens of the reply that has begun
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.is_set():
            try:
                self._ask()
            except (requests.RequestException, OSError, ValueError, AssertionError) as error:
                self.wrong.append(repr(error))
                self._end.wait(0.05)

    def _ask(self):
        began = time.monotonic()
        self.seen = 0
        chat = Chat(self._server.stream_chat(self.model, max_tokens=self.tokens, ignore_eos=True), self._on_token)
        if chat.status != 200:
            self.errors[f"{chat.status} {kind_of(json.loads(chat.error)['error'])}"] += 1
            self._end.wait(0.02)
            return
        if set(chat.text.split()) - {self.model} or chat.models - {self.model}:
            self.wrong.append(chat.text[-80:])
        elif chat.error is not None:
            self.errors[f"frame {kind_of(chat.error)}"] += 1
        elif not chat.done or len(chat.text.split()) != self.tokens:
            self.wrong.append(f"cut: {len(chat.text.split())} of {self.tokens}, done {chat.done}")
        else:
            self.replies.append((began, time.monotonic()))
            gaps = [after - before for before, after in zip(chat.times, chat.times[1:])]
            self.longest_gap = max([self.longest_gap, *gaps])

    def _on_token(self):
        self.seen += 1

    def stop(self) -> "User":
        self._end.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), f"a reply of {self.model} has not ended"
        return self


class Site:
    """A server with two models of which one is to suffer. `words` come before the command."""

    def __init__(self, folder: Path, isolation: str = "none", words: tuple = (), data: Path | None = None):
        self.folder = folder
        self.data = data or folder / "data"
        self.config = write_config(folder, isolation)
        self.server = Server([*words, *serve_words("--config", self.config, "--data-dir", self.data)])
        for model in (VICTIM, BYSTANDER):
            admin.wait_state(self.server, model, "hot")

    def worker(self) -> psutil.Process:
        """That of the victim: the only one."""
        return wait_until(self.server.workers, "a worker", every=0.002)[0]


MOUNT = 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"'
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
NOBODY = 65534
AS_NOBODY = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")


def site_on_small_disk(folder: Path, isolation: str = "none") -> Site:
    """Its data folder is a file system of 4 MiB that only it sees."""
    data = folder / "disk"
    data.mkdir()
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(data)], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {probe.stderr.strip()}")
    return Site(folder, isolation, ("unshare", "-rm", "sh", "-c", MOUNT, "sh", str(data)), data)


def site_with_clock(folder: Path, isolation: str = "none") -> Site:
    """The time of day that it sees is what set_clock() says, by libfaketime; its monotonic clock goes on."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not here: install Debian's package faketime")
    set_clock(folder, "+0")
    return Site(folder, isolation, ("env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={folder / 'clock'}",
                                    "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"))


def site_of_nobody(folder: Path, isolation: str = "none") -> Site:
    """Runs as a user of whom there is nothing else, so that the limit of a user's threads is the server's."""
    if os.geteuid() != 0:
        pytest.skip("only root may start a server as another user")
    for place in (folder, folder / "data"):
        place.mkdir(exist_ok=True)
        os.chown(place, NOBODY, NOBODY)
    if subprocess.run([*AS_NOBODY, "test", "-x", paths.SWITCHYARD, "-a", "-r", folder / "alpha.gguf"]).returncode != 0:
        pytest.skip(f"another user cannot reach {paths.SWITCHYARD} and {folder}")
    return Site(folder, isolation, AS_NOBODY)


def set_clock(folder: Path, offset: str) -> None:
    """As of libfaketime: "+1d", "-2h"."""
    new = folder / "clock.new"
    new.write_text(offset + "\n")
    os.rename(new, folder / "clock")


# ---- the faults: each is called while users are at work, and returns when there is nothing left to be done --------


def worker_signal(number: int):
    def inject(site: Site) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            site.worker().send_signal(number)
    return inject


def worker_out_of_memory(site: Site) -> None:
    """The system gives it no more for two seconds, in which a crowd asks for much: it may live through that, refuse,
    or end."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        worker = site.worker()
        before = resource.prlimit(worker.pid, resource.RLIMIT_DATA, (1 << 20, resource.RLIM_INFINITY))
        crowd = [Background(site.server.chat, VICTIM, "word " * 1500, max_tokens=64) for _ in range(24)]
        with contextlib.suppress(psutil.TimeoutExpired):
            worker.wait(2)
        resource.prlimit(worker.pid, resource.RLIMIT_DATA, before)
    for reply in [one.result() for one in crowd]:
        assert reply.status_code == 200 or kind_of(reply.json()["error"]), reply.text


def load_killed_halfway(site: Site) -> None:
    old = site.worker()
    with contextlib.suppress(psutil.NoSuchProcess):
        old.kill()
    def is_next():
        with contextlib.suppress(psutil.Error):
            return (new := site.worker()).pid != old.pid and new
        return None
    new = wait_until(is_next, "the next worker", every=0.001)
    with contextlib.suppress(psutil.NoSuchProcess):
        new.kill()


def file_cut_short(site: Site) -> None:
    """And put back whole."""
    file = site.folder / f"{VICTIM}.gguf"
    kept = site.folder / "kept"
    shutil.copy(file, kept)
    os.truncate(file, file.stat().st_size // 3)
    wait_until(lambda: admin.state(site.server, VICTIM) in ("failed", "cold"), "it to be noticed")
    os.rename(kept, file)
    assert site.server.post("/admin/v1/config/reload").status_code == 200


def file_replaced(site: Site) -> None:
    """By one that says the same: a new version of it."""
    new = site.folder / "new"
    shutil.copy(site.folder / f"{VICTIM}.gguf", new)
    os.rename(new, site.folder / f"{VICTIM}.gguf")
    assert site.server.post("/admin/v1/config/reload").status_code == 200


def database_locked(site: Site) -> None:
    with contextlib.closing(sqlite3.connect(site.data / "state.sqlite", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = site.server.post("/admin/v1/aliases/chat/switch", {"to": VICTIM})
        assert refused.status_code in (409, 503), refused.text
        other.execute("ROLLBACK")


def disk_full(site: Site) -> None:
    filler = f"/proc/{site.server.pid}/root{site.data}/filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    refused = site.server.post("/admin/v1/aliases/chat/switch", {"to": VICTIM})
    assert refused.status_code == 503 and "disk is full" in refused.text, refused.text
    os.unlink(filler)


def few_descriptors(site: Site) -> None:
    """As many as are open now and 20 more, and 100 connections that want one."""
    process = psutil.Process(site.server.pid)
    before = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() + 20, before[1]))
    idle = []
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                idle.append(socket.create_connection(("127.0.0.1", site.server.port), 30))
        time.sleep(1)
    finally:
        for sock in idle:
            sock.close()
        process.rlimit(resource.RLIMIT_NOFILE, before)


def client_resets(site: Site, step: int = 23) -> None:
    request = chat_request(max_tokens=6)
    length = len(raw(site.server.port, request))
    for count in [*range(40), *range(40, length, step)]:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", site.server.port), 30) as sock:
            sock.sendall(request)
            left = count
            while left and (piece := sock.recv(left)):
                left -= len(piece)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def slow_readers(site: Site, count: int = 200) -> None:
    """Who ask for a long stream and read nothing of it, until the engine is given back."""
    readers = []
    try:
        for _ in range(count):
            sock = socket.socket()
            readers.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", site.server.port))
            sock.sendall(chat_request(max_tokens=300, logprobs=True, top_logprobs=20))
        time.sleep(2)
    finally:
        for sock in readers:
            sock.close()


def idle_connections(site: Site, count: int = 2000) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1000)), hard))
    idle = []
    try:
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", site.server.port), 30))
        time.sleep(1)
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def clock_jumps(site: Site) -> None:
    """A day on, then two days back, then right again."""
    for offset in ("+1d", "-1d", "+0"):
        set_clock(site.folder, offset)
        time.sleep(1)
        assert site.server.post("/admin/v1/aliases/chat/switch", {"to": VICTIM}).status_code == 200
        assert site.server.post("/admin/v1/aliases/chat/rollback").status_code == 200


def threads_used_up(site: Site) -> None:
    """What runs is all that may; forty requests at once want more."""
    def limit(threads: int) -> None:
        subprocess.run([*AS_NOBODY, "prlimit", "--pid", str(site.server.pid), f"--nproc={threads}:"], check=True)

    before = psutil.Process(site.server.pid).num_threads() + 4000
    limit(sum(member.num_threads() for member in site.server.family()))
    try:
        asked = [Background(site.server.chat, model, max_tokens=8) for model in (VICTIM, BYSTANDER) for _ in range(20)]
        for reply in [one.result() for one in asked]:
            assert reply.status_code == 200 or reply.json()["error"]["switchyard_code"] == "unavailable", reply.text
    finally:
        limit(before)
