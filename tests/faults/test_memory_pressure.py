"""A cgroup that runs out of memory: parked models go, then idle ones, before the kernel kills anybody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import admin
from support.process import Chat, Server, serve_words, wait_until

pytestmark = pytest.mark.own

MIB = 1 << 20
LIMIT = 600 * MIB
#: Takes memory until it is told to end: a number of bytes a line.
HOG = "import sys\nheld = []\nfor line in sys.stdin:\n    held.append(b'x' * int(line)); print('held', flush=True)\n"


class Group:
    """A memory cgroup below this process's own, version 1 or 2."""

    def __init__(self):
        lines = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
        version1 = next((path for names, path in lines if names == "memory"), None)
        top = Path("/sys/fs/cgroup/memory") if version1 else Path("/sys/fs/cgroup")
        own = version1 or next(path for names, path in lines if names == "")
        self.path = top / own.lstrip("/") / f"switchyard-test-{os.getpid()}"
        limit = "memory.limit_in_bytes" if version1 else "memory.max"
        self._usage = "memory.usage_in_bytes" if version1 else "memory.current"
        try:
            self.path.mkdir()
            (self.path / limit).write_text(str(LIMIT))
        except OSError as error:
            if self.path.exists():
                self.path.rmdir()
            pytest.skip(f"this machine lets nobody make memory cgroups: {error}")

    def words(self, *words) -> list:
        """A command line whose process is in the group."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.path), *words]

    def left(self) -> int:
        """Bytes up to the limit, page cache not counted."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        cache = int(stat["inactive_file"]) + int(stat["active_file"])
        return LIMIT - int((self.path / self._usage).read_text()) + cache

    def remove(self):
        wait_until(lambda: not (self.path / "cgroup.procs").read_text(), "the group to be empty")
        self.path.rmdir()


@pytest.fixture
def group():
    made = Group()
    yield made
    made.remove()


def evictions(server) -> float:
    return sum(float(line.split()[-1]) for line in server.get("/metrics").text.splitlines()
               if line.startswith('switchyard_evictions_total{reason="pressure"}'))


@pytest.mark.parametrize("shedding", [True, False])
def test_memory_runs_out(require_binary, talkers, tmp_path, group, shedding):
    config = tmp_path / "c.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}
  - {{id: beta, file: {talkers / 'beta.gguf'}}}
  - {{id: gamma, file: {talkers / 'gamma.gguf'}, pin: true}}
limits: {{memory_budget: 300MiB, shed_under_pressure: {str(shedding).lower()}}}
""")
    server = Server(group.words(*serve_words("--config", config, "--data-dir", tmp_path / "data")))
    hog = None
    try:
        for name in ("alpha", "beta", "gamma"):
            admin.act(server, name, "load")
        admin.act(server, "beta", "park")
        events = admin.events(server)
        hog = subprocess.Popen(group.words(sys.executable, "-c", HOG), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
        # All but a fiftieth: less than 5 % is available then, and the limit is not reached.
        hog.stdin.write(f"{int(group.left() - LIMIT / 50 - 12 * MIB)}\n")
        hog.stdin.flush()
        assert hog.stdout.readline() == "held\n"
        assert group.left() < LIMIT / 20
        if shedding:
            for name in ("beta", "alpha"):
                told = events.wait(lambda event, name=name: admin.reached(name, "cold")(event), f"{name} to go")
                assert told["cause"] == "pressure"
            order = [event["model"] for event in events.events if event.get("to") == "unloading"]
            assert order == ["beta", "alpha"], "parked ones first"
            server.wait_for_line(r"WARN +memory: .* is available: unloaded beta@1")
            assert evictions(server) == 2
        else:
            server.get("/admin/v1/models")
            assert evictions(server) == 0 and admin.state(server, "beta") == "parked"
        assert admin.state(server, "gamma") == "hot", "it is pinned"
        hog.stdin.close()
        assert hog.wait() == 0
        Chat(server.stream_chat("alpha", max_tokens=4)).assert_whole()  # it comes back when it is asked for
        events.close()
        assert server.stop() == 0
    finally:
        if hog is not None and hog.poll() is None:
            hog.kill()
            hog.wait()
        server.kill()
