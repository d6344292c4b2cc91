"""Data folders that are read-only, full, locked, damaged or gone: clear words, and what is loaded serves on."""

import contextlib
import signal
import sqlite3
import subprocess
import threading

import pytest

from support import admin
from support.process import Chat, Server, serve_words, wait_until

pytestmark = pytest.mark.own

MOUNT = 'mount -t tmpfs -o size="$1" none "$2" || exit 9; sh -c "$3" sh "$2"; shift 3; exec "$@"'


@pytest.fixture
def config(talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models: [{{id: alpha, file: {talkers / 'alpha.gguf'}}}, {{id: beta, file: {talkers / 'beta.gguf'}}}]
aliases: [{{name: chat, to: alpha@1}}]
""")
    return file


@pytest.fixture
def on_small_disk(require_binary, config, tmp_path):
    """on_small_disk(prepare, size) -> a server whose data folder is a file system of its own; `prepare` is a line
    of shell that is run there before the server starts, with the folder as $1."""
    servers = []

    def start(prepare: str = ":", size: str = "2m"):
        data = tmp_path / "disk"
        data.mkdir()
        probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(data)], capture_output=True,
                               text=True)
        if probe.returncode != 0:
            pytest.skip(f"this machine lets nobody mount: {probe.stderr.strip()}")
        servers.append(Server(["unshare", "-rm", "sh", "-c", MOUNT, "sh", size, str(data), prepare,
                               *serve_words("--config", config, "--data-dir", data)]))
        return servers[-1]

    yield start
    for server in servers:
        assert server.stop() == 0


def inside(server, path: str):
    """A file as the server sees it."""
    return f"/proc/{server.pid}/root{path}"


def says(server, model: str):
    chat = Chat(server.stream_chat(model, max_tokens=4))
    chat.assert_whole()
    return chat.text


def switch(server, to: str):
    return server.post("/admin/v1/aliases/chat/switch", {"to": to})


def target(server):
    return server.get("/admin/v1/aliases/chat").json()["to"]


def test_read_only_at_the_start(on_small_disk):
    server = on_small_disk('mount -o remount,ro "$1"')
    server.wait_for_line(r"state\.sqlite cannot be written \(.*\): nothing is kept over a restart")
    assert "alpha" in says(server, "chat")
    assert switch(server, "beta").status_code == 200, "in memory all works"
    assert "beta" in says(server, "chat")


def test_read_only_after_a_run_that_could_write(on_small_disk, start, config, tmp_path):
    data = tmp_path / "before"
    server = start("--config", config, "--data-dir", data)
    assert switch(server, "beta").status_code == 200
    server.signal(signal.SIGKILL)  # what is in SQLite's log only counts, too
    server.wait()
    server = on_small_disk(f'cp -r {data}/* "$1"/ && mount -o remount,ro "$1"')
    server.wait_for_line(r"cannot be written")
    assert target(server) == "beta@1", "where it was switched to, not what the configuration says"
    assert "beta" in says(server, "chat")
    assert switch(server, "alpha").status_code == 200


def test_full_at_the_start(on_small_disk):
    server = on_small_disk('head -c 3000000 /dev/zero > "$1/filler" 2>/dev/null')
    server.wait_for_line(r"state\.sqlite is kept in memory only: .*(disk|cannot)")
    assert "alpha" in says(server, "chat")
    assert switch(server, "beta").status_code == 200


def test_full_after_a_run_that_could_write(on_small_disk, start, config, talkers, tmp_path):
    data = tmp_path / "before"
    server = start("--config", config, "--data-dir", data)
    assert switch(server, "beta").status_code == 200
    assert server.stop() == 0
    config.write_text(config.read_text().replace("models: [", f"models: [{{id: gamma, file: {talkers / 'gamma.gguf'}}}, "))
    server = on_small_disk(f'cp -r {data}/* "$1"/; head -c 3000000 /dev/zero > "$1/filler" 2>/dev/null')
    server.wait_for_line(r"state\.sqlite is kept in memory only: .*disk")
    assert target(server) == "beta@1", "what was there counts"
    assert "gamma" in says(server, "gamma"), "what is new is served, too"


def test_full_while_it_runs(on_small_disk, tmp_path):
    server = on_small_disk()
    assert "alpha" in says(server, "chat")
    filler = inside(server, str(tmp_path / "disk/filler"))
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    reply = switch(server, "beta")
    assert reply.status_code == 503 and "its disk is full, make room there" in reply.text, reply.text
    assert target(server) == "alpha@1", "nothing has moved that would not be there after a restart"
    assert "alpha" in says(server, "chat")
    made = server.post("/admin/v1/keys", {"key_alias": "acme"})
    assert made.status_code == 503 and made.json()["error"]["switchyard_code"] == "unavailable", made.text
    assert server.get("/v1/models").status_code == 200, "no key was made, and none is asked for"
    # To come and go needs no disk.
    admin.act(server, "alpha", "unload")
    assert "alpha" in says(server, "alpha") and "beta" in says(server, "beta")
    assert server.get("/health").status_code == 200
    subprocess.run(["rm", filler], check=True)
    assert switch(server, "beta").status_code == 200
    assert "beta" in says(server, "chat")


def test_state_locked_by_another_process(start, config, tmp_path):
    data = tmp_path / "data"
    server = start("--config", config, "--data-dir", data)
    assert "alpha" in says(server, "chat")
    with contextlib.closing(sqlite3.connect(data / "state.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        replies = []
        waiting = threading.Thread(target=lambda: replies.append(switch(server, "beta")))
        waiting.start()
        assert server.get("/health").status_code == 200
        assert "alpha" in says(server, "chat")
        waiting.join()
        assert replies[0].status_code == 503 and "another process holds it" in replies[0].text, replies[0].text
        assert target(server) == "alpha@1"
        other.execute("ROLLBACK")
    assert switch(server, "beta").status_code == 200


def test_state_locked_at_the_start(start, config, tmp_path):
    data = tmp_path / "data"
    assert start("--config", config, "--data-dir", data).stop() == 0
    with contextlib.closing(sqlite3.connect(data / "state.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        server = start("--config", config, "--data-dir", data)
        server.wait_for_line(r"state\.sqlite is kept in memory only: .*another process holds it")
        assert switch(server, "beta").status_code == 200
        assert "beta" in says(server, "chat")


def test_damaged_state_is_moved_aside(start, config, tmp_path):
    data = tmp_path / "data"
    server = start("--config", config, "--data-dir", data)
    assert switch(server, "beta").status_code == 200
    assert server.stop() == 0
    damaged = b"no database" * 1000
    (data / "state.sqlite").write_bytes(damaged)
    server = start("--config", config, "--data-dir", data)
    server.wait_for_line(r"WARN .*state\.sqlite cannot be used; moved to .*corrupt-\d+ and begun anew")
    [aside] = data.glob("state.sqlite.corrupt-*")
    assert aside.read_bytes() == damaged, "a person may want to look at it"
    assert target(server) == "alpha@1", "what was switched is lost, what the configuration says counts"
    assert "alpha" in says(server, "chat")
    assert switch(server, "beta").status_code == 200
    assert server.stop() == 0
    assert target(start("--config", config, "--data-dir", data)) == "beta@1", "and the new one is kept"


def test_state_removed_while_it_runs(start, config, tmp_path):
    data = tmp_path / "data"
    server = start("--config", config, "--data-dir", data)
    assert "alpha" in says(server, "chat")
    for file in data.glob("state.sqlite*"):
        file.unlink()
    assert switch(server, "beta").status_code == 200
    server.wait_for_line(r"state\.sqlite was removed while it is in use: it is written anew")
    server.signal(signal.SIGKILL)
    server.wait()
    again = start("--config", config, "--data-dir", data)
    assert target(again) == "beta@1", "what was acknowledged survives a kill"
    history = again.get("/admin/v1/aliases/chat").json()["history"]
    assert history[0]["to"] == "beta@1"


def test_conversations_on_a_full_disk_stay_in_memory(on_small_disk, tmp_path):
    server = on_small_disk()
    assert "alpha" in says(server, "alpha")
    filler = inside(server, str(tmp_path / "disk/filler"))
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    admin.act(server, "alpha", "park")
    server.wait_for_line(r"WARN +conversations: .*they are kept in memory only")
    assert "alpha" in says(server, "alpha")


def test_configuration_that_cannot_be_read_changes_nothing(start, config):
    server = start("--config", config)
    assert "alpha" in says(server, "chat")
    config.rename(config.with_suffix(".away"))
    reply = server.post("/admin/v1/config/reload")
    assert reply.status_code == 404 and "cannot be read" in reply.text, reply.text
    server.signal(signal.SIGHUP)
    server.wait_for_line(r"reload changed nothing: config file .* cannot be read")
    assert "alpha" in says(server, "chat")
    config.with_suffix(".away").rename(config)
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: server.get("/health").status_code == 200, "it to be well")
