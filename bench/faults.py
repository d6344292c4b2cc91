"""Each fault, injected for real under load: what others saw, and how long until the model answered again.

Two small models, a long and a short user of each. The table goes to docs/reliability.md."""

import contextlib
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import Callable

import requests

from common import (GEMMA, SMOLLM2, Background, Server, Table, folder, median, ms, paths, percentile, serve_words,
                    wait_until)
from support import faults
from support.faults import BYSTANDER, STUCK_AFTER, VICTIM, Pulse, Site, User

PAGE = "reliability.md"
COLUMNS = ("fault", "users of other models", "streams of its own that had begun",
           "longest time without an answer of it", "goal", "")
LONG, SHORT = 300, 4


@dataclass
class Fault:
    what: str
    inject: Callable[[Site], object]
    isolation: str = "none"
    make: Callable[..., Site] = Site
    note: str = ""


FAULTS = [
    Fault("worker: SIGKILL", faults.worker_signal(signal.SIGKILL), "process"),
    Fault("worker: SIGSEGV", faults.worker_signal(signal.SIGSEGV), "process"),
    Fault("worker: SIGABRT", faults.worker_signal(signal.SIGABRT), "process"),
    Fault("worker: SIGSTOP (it hangs)", faults.worker_signal(signal.SIGSTOP), "process",
          note=f", `stuck_after` of {STUCK_AFTER} s included"),
    Fault("worker: out of memory", faults.worker_out_of_memory, "process"),
    Fault("load killed half-way", faults.load_killed_halfway, "process"),
    Fault("file cut short while mapped, then put back", faults.file_cut_short, note=" after it was put back"),
    Fault("file replaced, and a reload", faults.file_replaced),
    Fault("disk of the data folder full", faults.disk_full, make=faults.site_on_small_disk),
    Fault("`state.sqlite` locked", faults.database_locked),
    Fault("descriptors used up", faults.few_descriptors),
    Fault("threads used up", faults.threads_used_up, make=faults.site_of_nobody),
    Fault("clock jumps a day on and two days back", faults.clock_jumps, make=faults.site_with_clock),
    Fault("a client resets after each byte of a stream", faults.client_resets),
    Fault("200 readers that do not read", faults.slow_readers),
    Fault("2000 idle connections", faults.idle_connections),
]


def longest_without(user: User, since: float, until: float) -> float:
    """Longest time within that window and beyond it in which no reply of this user came to its end."""
    ends = [since, *(end for _, end in user.replies if end > since)]
    return max(after - before for before, after in zip(ends, ends[1:]) if before < until)


def live_through(fault: Fault, table: Table, pulses: list[Pulse]) -> None:
    with folder() as path:
        path.chmod(0o755)
        faults.make_models(path)
        site = fault.make(path, fault.isolation)
        try:
            with Pulse(site.server) as pulse:
                pulses.append(pulse)
                own = [User(site.server, VICTIM, LONG), User(site.server, VICTIM, SHORT)]
                others = [User(site.server, BYSTANDER, LONG), User(site.server, BYSTANDER, SHORT)]
                wait_until(lambda: all(user.replies for user in own + others), "everybody to have been answered")
                wait_until(lambda: 5 < own[0].seen < LONG / 2, "a long reply to have begun", every=0.001)
                began = time.monotonic()
                fault.inject(site)
                at = time.monotonic() if fault.note.startswith(" after") else began
                until = time.monotonic()
                for user in own:
                    wait_until(lambda: any(asked > until for asked, _ in user.replies), "an answer")
                for user in own + others:
                    user.stop()
        finally:
            assert site.server.stop() == 0, site.server.log[-2000:]
    wrong = [words for user in own + others for words in user.wrong]
    assert not wrong, (fault.what, wrong[:3])
    seen = sum((user.errors for user in others), start=Counter())
    assert not seen, (fault.what, seen)
    after = longest_without(own[1], at, until)
    errors = own[0].errors
    table.raw[fault.what] = {"seconds": after, "own": [dict(user.errors) for user in own],
                             "others": [len(user.replies) for user in others],
                             "longest_gap": max(user.longest_gap for user in others)}
    table.add(fault.what, f"nothing: {sum(len(user.replies) for user in others)} whole replies",
              ", ".join(f"error frame (`{what.removeprefix('frame ')}`)" if what.startswith("frame") else what
                        for what in errors) or "nothing: whole replies",
              ms(after) + fault.note)


def damaged_database(table: Table) -> None:
    with folder() as path:
        faults.make_models(path)
        data = path / "data"
        site = Site(path)
        assert site.server.stop() == 0
        (data / "state.sqlite").write_bytes(b"no database" * 1000)
        began = time.monotonic()
        site = Site(path)
        assert site.server.chat(VICTIM, max_tokens=1).status_code == 200
        table.add("`state.sqlite` damaged, at a start", "nothing: moved aside, begun anew", "nothing",
                  f"{ms(time.monotonic() - began)}, the start included")
        assert site.server.stop() == 0


def killed_server(table: Table) -> None:
    """With both real models under load: back by itself is what systemd does; here it is started at once."""
    with folder() as path:
        config = path / "c.yaml"
        config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 2048, parallel: 4}}}}
models: [{{id: {SMOLLM2}, file: {paths.SMOLLM2_FILE}}}, {{id: {GEMMA}, file: {paths.GEMMA_FILE}}}]
aliases: [{{name: chat, to: {SMOLLM2}@1}}]
""")
        words = serve_words("--config", config, "--data-dir", path / "data")
        times = []
        for _ in range(5):
            server = Server(words)
            for model in (SMOLLM2, GEMMA):
                assert server.chat(model, max_tokens=1).status_code == 200
            to = SMOLLM2 if server.get("/admin/v1/aliases/chat").json()["to"].startswith(GEMMA) else GEMMA
            assert server.post("/admin/v1/aliases/chat/switch", {"to": to}).status_code == 200

            def endure(server=server, model=None):
                with contextlib.suppress(requests.RequestException):
                    server.stream_chat(model, max_tokens=500, ignore_eos=True).data()

            streams = [Background(endure, model=model) for model in (SMOLLM2, GEMMA) for _ in range(4)]
            time.sleep(1)
            began = time.monotonic()
            server.kill()
            server = Server(words)
            serving = time.monotonic() - began
            assert server.get("/admin/v1/aliases/chat").json()["to"] == f"{to}@1"
            for model in (to, SMOLLM2, GEMMA):
                assert server.chat(model, max_tokens=1).status_code == 200
            times.append((serving, time.monotonic() - began))
            for stream in streams:
                stream.result()
            assert server.stop() == 0
        ready, both = max(time[0] for time in times), max(time[1] for time in times)
        table.raw["kill -9"] = times
        table.add("server: SIGKILL, 8 streams on the two real models (slowest of 5)",
                  "their connections break; registry, aliases and history intact", "the same",
                  f"{ms(ready)} to serving, {ms(both)} until both models have answered", "< 3 s", both < 3)


def run() -> Table:
    table = Table("Faults", ["switchyard serve --config switchyard.yaml    # two models of 3 MB, 2 ms a token"],
                  columns=COLUMNS)
    pulses: list[Pulse] = []
    for fault in FAULTS:
        live_through(fault, table, pulses)
    damaged_database(table)
    killed_server(table)
    for path in Pulse.PATHS:
        seconds = [second for pulse in pulses for second in pulse.seconds[path]]
        p99 = percentile(seconds, 0.99)
        table.raw[path] = {"p50_s": median(seconds), "p99_s": p99, "most_s": max(seconds), "n": len(seconds)}
        table.add(f"`{path}` throughout all of it, over new connections", f"{len(seconds)} answers, all 200", "",
                  f"p99 {ms(p99)}, slowest {ms(max(seconds))}", "p99 < 50 ms", p99 < 0.05)
    return table
