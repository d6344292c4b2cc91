"""The service's side of systemd: notifications, watchdog, the unit file."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from support import paths
from support.process import DEADLINE, Server, serve_words

pytestmark = pytest.mark.own
UNIT = paths.REPO / "deploy/systemd/switchyard.service"


class ServiceManager:
    """What systemd listens with."""

    def __init__(self):
        name = f"switchyard-test-{os.getpid()}"  # abstract: a path may be too long for a socket
        self.name = "@" + name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name)
        self.seen = []

    def wait(self, line: str, since: int = 0) -> list[str]:
        """The lines from `since` on, up to the first datagram with this beginning of a line."""
        end = time.monotonic() + DEADLINE
        while not any(text.startswith(line) for text in self.seen[since:]):
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            self.seen += self.socket.recv(4096).decode().split("\n")
        return self.seen[since:]

    def close(self):
        self.socket.close()


@pytest.fixture
def manager():
    made = ServiceManager()
    yield made
    made.close()


def test_ready_reload_watchdog_stop(require_binary, talkers, tmp_path, manager):
    server = Server(serve_words("--models-dir", talkers, "--threads", 1, "--ctx-size", 512,
                                "--data-dir", tmp_path / "data"),
                    env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    try:
        manager.wait("READY=1")
        for _ in range(3):
            manager.wait("WATCHDOG=1", len(manager.seen))
        # A child that reads an unknown file does not speak for the server.
        assert server.chat("alpha").status_code == 200
        manager.wait("STATUS=1 models hot, 0 parked; 0 requests")
        since = len(manager.seen)
        server.signal(signal.SIGHUP)
        manager.wait("READY=1", since)
        lines = manager.seen[since:]
        reloading = lines.index("RELOADING=1")
        assert re.fullmatch(r"MONOTONIC_USEC=\d+", lines[reloading + 1])
        assert reloading < lines.index("READY=1")
        server.signal(signal.SIGTERM)
        manager.wait("STOPPING=1")
        assert server.wait() == 0
    finally:
        server.kill()


def test_a_process_that_hangs_is_not_alive(require_binary, talkers, tmp_path, manager):
    server = Server(serve_words("--models-dir", talkers, "--data-dir", tmp_path / "data"),
                    env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"})
    try:
        manager.wait("WATCHDOG=1")
        server.signal(signal.SIGSTOP)
        manager.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:  # what was sent before it stopped
                manager.socket.recv(4096)
        server.signal(signal.SIGCONT)
        manager.wait("WATCHDOG=1", len(manager.seen))
        assert server.stop() == 0
    finally:
        server.kill()


def test_watchdog_of_another_process(require_binary, talkers, tmp_path, manager):
    server = Server(serve_words("--models-dir", talkers, "--data-dir", tmp_path / "data"),
                    env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    try:
        manager.wait("STATUS=")  # five seconds after the start
        assert "WATCHDOG=1" not in manager.seen
        assert server.stop() == 0
    finally:
        server.kill()


def test_the_unit(require_binary, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    text = UNIT.read_text().replace("/usr/local/bin/switchyard", str(paths.SWITCHYARD.resolve()))
    file = tmp_path / UNIT.name
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert {"Type=notify", "Restart=always", "StateDirectory=switchyard"} <= set(text.splitlines())
    assert "WatchdogSec=" in text
