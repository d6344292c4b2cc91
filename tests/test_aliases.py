"""Aliases: names that move between versions without a gap, remember how they got there, and come back
after a kill."""

import contextlib
import hashlib
import random
import shutil
import signal
import sqlite3
import statistics
import threading

import pytest

from support import admin, gguf_files
from support.process import Background, Chat, wait_until

pytestmark = pytest.mark.own
WORDS = {"1": "alpha", "2": "beta", "3": "gamma"}


def catalog(folder, *, models_max=4, more="", context=1024, alias="talker@1", versions=("1", "2", "3")):
    lines = "".join(f"      - {{version: \"{version}\", file: {folder}/{WORDS[version]}.gguf}}\n" for version in versions)
    aliases = f"aliases:\n  - {{name: chat, to: {alias}}}\n" if alias else ""
    return f"""
limits: {{models_max: {models_max}}}
defaults: {{args: {{threads: 1, ctx-size: {context}}}}}
models:
  - id: talker
    versions:
{lines}{more}
{aliases}"""


@pytest.fixture
def serve(start, tmp_path):
    """serve(folder, ...) -> a server with talker@1 (alpha), @2 (beta), @3 (gamma) and chat -> talker@1."""

    def begin(folder, *words, **kwargs):
        file = tmp_path / "switchyard.yaml"
        file.write_text(catalog(folder, **kwargs))
        return start("--config", file, *words)

    return begin


def switch(server, to, expect=200, alias="chat", **body):
    reply = server.post(f"/admin/v1/aliases/{alias}/switch", {"to": to, **body})
    assert reply.status_code == expect, reply.text
    return reply.json()


def alias(server, name="chat"):
    reply = server.get(f"/admin/v1/aliases/{name}?history=1000")
    assert reply.status_code == 200, reply.text
    return reply.json()


def says(server, name="chat", tokens=5):
    reply = server.chat(name, max_tokens=tokens)
    assert reply.status_code == 200, reply.text
    words = set(reply.json()["choices"][0]["message"]["content"].split())
    assert len(words) == 1, words
    return words.pop(), reply.headers["x-switchyard-version"]


def long_stream(server, name="chat", tokens=3000):
    """A stream that has begun: (what comes, the response)."""
    stream = server.stream_chat(name, max_tokens=tokens, ignore_eos=True)
    reading = iter(stream)
    next(reading)
    return reading, stream


def test_a_switch_and_its_history(serve, talkers):
    server = serve(talkers)
    assert admin.state(server, "talker@1") == "cold", "aliases of the config start lazily"
    assert says(server) == ("alpha", "talker@1")
    done = switch(server, "talker@2", why="it is better")
    assert done["outcome"] == "ok" and done["from"] == "talker@1" and done["serving"] == "talker@2"
    assert [phase["phase"] for phase in done["phases"]] == ["admit", "load", "warm_up", "probe", "flip", "drain",
                                                            "settle"]
    assert all(phase["duration_ms"] >= 0 for phase in done["phases"])
    assert says(server) == ("beta", "talker@2")
    assert admin.state(server, "talker@1") == "parked"
    now = alias(server)
    assert now["to"] == "talker@2" and now["previous"] == ["talker@1"]
    assert now["labels"] == {"latest": "talker@3", "stable": "talker@2", "previous": "talker@1"}
    line = now["history"][0]
    assert line["why"] == "it is better" and line["who"].startswith("api") and line["outcome"] == "ok"
    assert line["phases"] and line["started_at"].endswith("Z") and line["ended_at"] >= line["started_at"]
    assert says(server, "chat@previous") == ("alpha", "talker@1")


def test_streams_name_the_version_too(serve, talkers):
    server = serve(talkers)
    stream = server.stream_chat("chat", max_tokens=3)
    assert stream.response.headers["x-switchyard-version"] == "talker@1"
    Chat(stream).assert_whole()
    assert server.post("/tokenize", {"model": "talker@2", "content": "x"}).headers[
        "x-switchyard-version"] == "talker@2"


def test_running_streams_end_whole(serve, slow_talkers):
    server = serve(slow_talkers, versions=("1", "2"), context=4096)
    streams = [Background(lambda: Chat(server.stream_chat("chat", max_tokens=300))) for _ in range(4)]
    wait_until(lambda: admin.version(server, "talker@1")["leases"] == 4, "the streams")
    done = switch(server, "talker@2")
    assert not done["still_draining"]
    for stream in streams:
        assert stream.result().assert_whole().text.split() == ["alpha"] * 300
    assert says(server)[0] == "beta"


def test_phases_are_told_as_events(serve, talkers):
    server = serve(talkers)
    says(server)
    log = admin.events(server)
    done = switch(server, "talker@2")
    log.wait(lambda event: event["type"] == "switch" and event["status"] == "ok", "the end")
    log.close()
    mine = [event for event in log.events if event["type"] == "switch" and event["switch"] == done["id"]]
    ended = [event["phase"] for event in mine if event["status"] == "ended"]
    assert ended == [phase["phase"] for phase in done["phases"]]
    assert all(event["duration_ms"] >= 0 for event in mine if event["status"] == "ended")
    assert [event["to"] for event in log.events if event["type"] == "alias"] == ["talker@2"]


@pytest.mark.parametrize("keep, state", [("parked", "parked"), ("cold", "cold"), ("hot", "hot")])
def test_keep_old(serve, talkers, keep, state):
    server = serve(talkers)
    says(server)
    switch(server, "talker@2", keep_old=keep)
    assert admin.state(server, "talker@1") == state


def test_a_failing_version_changes_nothing(serve, talkers, tmp_path):
    broken = gguf_files.make_broken(tmp_path, "truncated", talkers / "beta.gguf")
    server = serve(talkers, more=f"  - {{id: broken, file: {broken}}}\n")
    assert says(server)[0] == "alpha"
    failed = switch(server, "broken", expect=422)
    error = failed["error"]
    assert error["phase"] == "admit" and error["serving"] == "talker@1" and error["outcome"] == "failed"
    assert "talker@1" in error["message"]
    assert says(server)[0] == "alpha" and admin.state(server, "talker@1") == "hot"
    assert alias(server)["history"][0]["outcome"] == "failed"
    failed = switch(server, "broken", expect=422, policy="resource_preserving")
    assert says(server)[0] == "alpha"
    assert switch(server, "talker@9", expect=404)["error"]
    assert switch(server, "talker@2", expect=404, alias="caht")["error"]


def test_no_room_for_both(serve, talkers):
    server = serve(talkers, models_max=1)
    says(server)
    refused = switch(server, "talker@2", expect=507)["error"]
    assert "resource_preserving" in refused["message"] and refused["serving"] == "talker@1"
    assert admin.state(server, "talker@1") == "hot"
    assert switch(server, "talker@2", policy="resource_preserving")["outcome"] == "ok"
    assert says(server) == ("beta", "talker@2")


def test_resource_preserving_holds_requests(serve, slow_talkers):
    """The old one ends what it answers; meanwhile requests wait, and none fails."""
    server = serve(slow_talkers, versions=("1", "2"), models_max=1, context=4096)
    stream = Background(lambda: Chat(server.stream_chat("chat", max_tokens=400)))
    wait_until(lambda: admin.version(server, "talker@1")["leases"] == 1, "the stream")
    switching = Background(switch, server, "talker@2", policy="resource_preserving")
    wait_until(lambda: (alias(server)["switch"] or {}).get("phase") == "drain", "the drain")
    held = [Background(says, server) for _ in range(4)]
    assert stream.result().assert_whole().text.split() == ["alpha"] * 400
    for one in held:
        assert one.result() == ("beta", "talker@2")
    done = switching.result()
    assert [phase["phase"] for phase in done["phases"]][:3] == ["admit", "drain", "settle"]


def test_superseded_and_cancelled(serve, slow_talkers, real_models):
    from support.paths import GEMMA_FILE
    server = serve(slow_talkers, versions=("1", "2"), more=f"  - {{id: gemma, file: {GEMMA_FILE}}}\n")
    says(server)

    def first_in_progress():
        return (alias(server)["switch"] or {}).get("to") == "gemma@1"

    first = Background(switch, server, "gemma", expect=409)
    wait_until(first_in_progress, "the first")
    assert switch(server, "talker@2")["outcome"] == "ok"
    error = first.result()["error"]
    assert error["outcome"] == "superseded" and "talker@2" in error["message"]
    switch(server, "talker@1")
    admin.wait_state(server, "gemma", "cold", "parked")

    second = Background(switch, server, "gemma", expect=409)
    wait_until(first_in_progress, "the second")
    cancelled = server.request("DELETE", "/admin/v1/aliases/chat/switch")
    assert cancelled.status_code == 200 and cancelled.json()["serving"] == "talker@1", cancelled.text
    assert second.result()["error"]["outcome"] == "cancelled"
    assert server.request("DELETE", "/admin/v1/aliases/chat/switch").status_code == 409
    assert says(server)[0] == "alpha"
    admin.wait_state(server, "gemma", "cold")
    outcomes = [line["outcome"] for line in alias(server)["history"]]
    assert outcomes == ["cancelled", "ok", "ok", "superseded"]


def test_drain_timeout_lets_streams_end(serve, slow_talkers):
    server = serve(slow_talkers, versions=("1", "2"), context=8192)
    reading, _ = long_stream(server, tokens=1500)
    done = switch(server, "talker@2", drain_timeout="100ms")
    assert done["outcome"] == "ok" and done["still_draining"] and done["draining_leases"] == 1
    assert says(server)[0] == "beta"
    rest = [data for _, data in reading]
    assert rest[-1] == "[DONE]"
    admin.wait_state(server, "talker@1", "parked")


def test_force_ends_streams_with_an_error(serve, slow_talkers):
    server = serve(slow_talkers, versions=("1", "2"), context=8192)
    reading, _ = long_stream(server, tokens=7000)
    done = switch(server, "talker@2", drain_timeout="100ms", force=True)
    assert done["outcome"] == "ok" and not done["still_draining"]
    rest = [data for _, data in reading]
    assert "error" in rest[-1], rest[-1]
    assert admin.state(server, "talker@1") == "parked"


def test_rollback_and_once_more(serve, talkers):
    server = serve(talkers)
    says(server)
    switch(server, "talker@2")
    switch(server, "talker@3")
    back = server.post("/admin/v1/aliases/chat/rollback").json()
    assert back["kind"] == "rollback" and back["serving"] == "talker@2"
    took = sum(phase["duration_ms"] for phase in back["phases"] if phase["phase"] in ("admit", "load", "flip"))
    assert took < 5000, back
    assert says(server)[0] == "beta"
    assert server.post("/admin/v1/aliases/chat/rollback", {"why": "worse"}).json()["serving"] == "talker@1"
    assert says(server)[0] == "alpha"
    assert server.post("/admin/v1/aliases/chat/rollback").status_code == 409
    assert [line["outcome"] for line in alias(server)["history"]] == ["ok", "ok", "rolled_back", "rolled_back"]


def test_rollback_during_the_drain(serve, slow_talkers):
    """A long stream on the old version does not hold up the way back to it."""
    server = serve(slow_talkers, versions=("1", "2"), context=8192)
    reading, _ = long_stream(server, tokens=2000)
    assert switch(server, "talker@2", drain_timeout=0)["still_draining"]
    assert server.post("/admin/v1/aliases/chat/rollback").json()["serving"] == "talker@1"
    assert admin.state(server, "talker@1") == "hot"
    assert says(server)[0] == "alpha"
    assert [data for _, data in reading][-1] == "[DONE]"


def test_dry_run(serve, talkers):
    server = serve(talkers, models_max=2)
    says(server)
    says(server, "talker@3")
    wait_until(lambda: admin.version(server, "talker@3")["leases"] == 0, "the lease to be given back")
    plan = switch(server, "talker@2", dry_run=True)
    assert plan["possible"] and plan["loads"] and plan["needs_bytes"] > 0 and plan["expected_ms"] > 0
    assert [victim["version"] for victim in plan["evicts"]] == ["talker@3"]
    assert plan["old_becomes"] == "parked"
    assert admin.state(server, "talker@3") == "hot" and admin.state(server, "talker@2") == "cold"
    assert alias(server)["history"] == []
    assert switch(server, "talker@1", dry_run=True)["loads"] is False


def test_aliases_made_by_calls(serve, talkers):
    server = serve(talkers)
    made = server.request("PUT", "/admin/v1/aliases/fresh", {"to": "talker@2", "why": "a test"})
    assert made.status_code == 201, made.text
    assert admin.state(server, "talker@2") == "hot", "loaded and proven first"
    assert says(server, "fresh") == ("beta", "talker@2")
    assert server.request("PUT", "/admin/v1/aliases/fresh", {"to": "talker@1"}).status_code == 200
    assert says(server, "fresh")[0] == "alpha"
    assert {entry["name"] for entry in server.get("/admin/v1/aliases").json()["aliases"]} == {"chat", "fresh"}
    assert "fresh" in next(entry for entry in server.get("/v1/models").json()["data"]
                           if entry["id"] == "talker@1")["aliases"]
    assert server.request("PUT", "/admin/v1/aliases/a%40b", {"to": "talker@1"}).status_code == 400
    assert server.request("DELETE", "/admin/v1/aliases/fresh").status_code == 200
    assert server.chat("fresh").status_code == 404
    assert server.request("DELETE", "/admin/v1/aliases/fresh").status_code == 404


def test_a_models_name_is_an_alias(serve, talkers):
    server = serve(talkers)
    assert says(server, "talker") == ("gamma", "talker@3")
    assert switch(server, "talker@1", alias="talker")["outcome"] == "ok"
    assert says(server, "talker") == ("alpha", "talker@1")
    assert {"talker", "talker@2", "talker@3"} == set(server.models())
    assert server.post("/admin/v1/aliases/talker/rollback").json()["serving"] == "talker@3"
    assert server.request("PUT", "/admin/v1/aliases/talker", {"to": "talker@2"}).status_code == 200
    assert says(server, "talker")[0] == "beta"


def test_a_new_version_takes_over_when_it_is_proven(start, talkers, tmp_path):
    file = tmp_path / "switchyard.yaml"
    file.write_text(catalog(talkers, alias="", versions=("1",)))
    server = start("--config", file)
    assert says(server, "talker") == ("alpha", "talker@1")
    file.write_text(catalog(talkers, alias="", versions=("1", "2")))
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: alias(server, "talker")["to"] == "talker@2", "the new version")
    assert says(server, "talker") == ("beta", "talker@2")
    assert alias(server, "talker")["history"][0]["kind"] == "upgrade"


def test_a_new_version_that_fails_leaves_the_old_one(start, talkers, tmp_path):
    broken = gguf_files.make_broken(tmp_path, "truncated", talkers / "beta.gguf")
    file = tmp_path / "switchyard.yaml"
    text = catalog(talkers, alias="", versions=("1",))
    file.write_text(text)
    server = start("--config", file)
    says(server, "talker")
    admin.act(server, "talker", "unload")
    file.write_text(text.replace("alpha.gguf}\n", f"alpha.gguf}}\n      - {{version: \"2\", file: {broken}}}\n"))
    assert server.post("/admin/v1/config/reload").status_code == 200
    assert says(server, "talker") == ("alpha", "talker@1"), "the next use tried the new one, and went back"
    line = alias(server, "talker")["history"][0]
    assert line["kind"] == "upgrade" and line["outcome"] == "failed" and line["error"]


def test_what_the_config_says_after_a_restart(start, talkers, tmp_path):
    file = tmp_path / "switchyard.yaml"
    data = tmp_path / "data"
    file.write_text(catalog(talkers))
    server = start("--config", file, "--data-dir", data)
    says(server)
    switch(server, "talker@2")
    assert server.request("PUT", "/admin/v1/aliases/fresh", {"to": "talker@3"}).status_code == 201
    assert server.stop() == 0
    server = start("--config", file, "--data-dir", data)
    assert alias(server)["to"] == "talker@2" and alias(server)["previous"] == ["talker@1"]
    assert says(server, "fresh")[0] == "gamma"
    assert server.stop() == 0
    file.write_text(catalog(talkers, alias="talker@3"))
    server = start("--config", file, "--data-dir", data)
    assert says(server) == ("gamma", "talker@3"), "a changed entry counts"


def kill(server):
    server.signal(signal.SIGKILL)
    server.wait()


def test_ten_kills_at_random_points_of_switches(start, talkers, tmp_path):
    """After each start aliases and history are as last acknowledged, or one unacknowledged switch further."""
    dice = random.Random(11)
    file = tmp_path / "switchyard.yaml"
    file.write_text(catalog(talkers))
    data = tmp_path / "data"
    acknowledged: list[int] = []
    where = "talker@1"
    for _ in range(10):
        server = start("--config", file, "--data-dir", data)
        now = alias(server)
        ids = [line["id"] for line in now["history"] if line["outcome"] == "ok"]
        assert set(acknowledged) <= set(ids), "an acknowledged switch is missing"
        extra = [line for line in now["history"] if line["outcome"] == "ok" and line["id"] not in acknowledged]
        assert len(extra) <= 1, "at most the one that was under way"
        assert now["to"] == (extra[0]["to"] if extra else where)
        assert all(line["outcome"] != "running" for line in now["history"])
        assert says(server)[1] == now["to"]
        acknowledged, where = ids, now["to"]
        killer = threading.Timer(dice.uniform(0.0, 0.6), kill, [server])
        killer.start()
        try:
            while True:
                to = "talker@" + dice.choice([version for version in WORDS if f"talker@{version}" != where])
                done = server.post("/admin/v1/aliases/chat/switch", {"to": to, "drain_timeout": 0}).json()
                assert done["outcome"] == "ok", done
                acknowledged.append(done["id"])
                where = to
        except OSError:
            pass  # killed
        killer.join()
    server = start("--config", file, "--data-dir", data)
    assert set(acknowledged) <= {line["id"] for line in alias(server)["history"] if line["outcome"] == "ok"}


def test_a_corrupt_database_is_moved_aside(start, talkers, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "state.sqlite").write_bytes(b"not a database" * 1000)
    file = tmp_path / "switchyard.yaml"
    file.write_text(catalog(talkers))
    server = start("--config", file, "--data-dir", data)
    assert says(server)[0] == "alpha"
    assert any("state.sqlite" in line and "moved" in line for line in server.lines)
    assert list(data.glob("state.sqlite.corrupt-*"))


def test_two_servers_do_not_share_a_data_folder(start, talkers, tmp_path):
    data = tmp_path / "data"
    file = tmp_path / "switchyard.yaml"
    file.write_text(catalog(talkers))
    first = start("--config", file, "--data-dir", data)
    second = start("--config", file, "--data-dir", data)
    assert any("in use by another server" in line for line in second.lines)
    says(second)
    switch(second, "talker@2")
    assert alias(first)["to"] == "talker@1"


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_thousand_switches_under_sixteen_streams(serve, talkers):
    """0 failed, 0 cut, 0 mixed replies; each names the version that gave it; memory is flat."""
    server = serve(talkers, versions=("1", "2"))
    says(server)
    stop = threading.Event()
    counts = {"whole": 0}
    lock = threading.Lock()

    def client():
        while not stop.is_set():
            stream = server.stream_chat("chat", max_tokens=40, ignore_eos=True)
            version = stream.response.headers["x-switchyard-version"]
            chat = Chat(stream).assert_whole()
            assert chat.text.split() == [WORDS[version.split("@")[1]]] * 40, (version, chat.text)
            with lock:
                counts["whole"] += 1

    clients = [Background(client) for _ in range(16)]
    early, late = [], []
    for number in range(1000):
        done = switch(server, f"talker@{2 - number % 2}")
        assert done["outcome"] == "ok", done
        if 40 <= number < 60 or number >= 980:
            (early if number < 60 else late).append(server.family()[0].memory_full_info().uss)
        if number % 100 == 99:
            assert all(one.running for one in clients), [one.result(1) for one in clients if not one.running]
    stop.set()
    for one in clients:
        one.result()
    assert counts["whole"] > 1000
    print([f"{statistics.median(sizes) / 2 ** 20:.2f} MiB" for sizes in (early, late)])
    assert statistics.median(late) < statistics.median(early) * 1.02, (early, late)


def residents(data):
    """What is noted as in memory, the last used first."""
    with contextlib.closing(sqlite3.connect(f"file:{data}/state.sqlite?mode=ro", uri=True)) as database:
        return database.execute("SELECT version, residency FROM residents ORDER BY place").fetchall()


def test_what_was_in_memory_comes_back_after_a_kill(start, talkers, tmp_path):
    """Hot and parked as they were, in the order of their use."""
    data = tmp_path / "data"
    words = ("--models-dir", talkers, "--threads", 1, "--ctx-size", 1024, "--data-dir", data)
    server = start(*words)
    for word in ("alpha", "beta", "gamma"):
        says(server, word)
    says(server, "alpha")
    admin.act(server, "gamma", "park")
    noted = [("alpha@1", "hot"), ("gamma@1", "parked"), ("beta@1", "hot")]
    wait_until(lambda: residents(data) == noted, "it to be noted")
    kill(server)
    server = start(*words)
    for word, state in (("alpha", "hot"), ("beta", "hot"), ("gamma", "parked")):
        admin.wait_state(server, word, state)
    def came():
        return [line.split("models: ")[1].split("@")[0] for line in server.lines if " is hot after " in line]

    wait_until(lambda: len(came()) == 3, "their lines in the log")
    assert came() == ["alpha", "gamma", "beta"], server.log
    assert server.stop() == 0
    off = tmp_path / "off.yaml"
    off.write_text("limits: {restore_resident: false}\n")
    server = start(*words, "--config", off)
    assert says(server, "gamma")[0] == "gamma"
    assert admin.state(server, "alpha") == "cold" and admin.state(server, "beta") == "cold"


def test_a_kill_while_it_comes_back_forgets_nothing(start, talkers, tmp_path):
    data = tmp_path / "data"
    words = ("--models-dir", talkers, "--threads", 1, "--ctx-size", 1024, "--data-dir", data)
    server = start(*words)
    for word in ("alpha", "beta", "gamma"):
        says(server, word)
    wait_until(lambda: len(residents(data)) == 3, "it to be noted")
    for _ in range(4):
        kill(server)
        server = start(*words)
    for word in ("alpha", "beta", "gamma"):
        admin.wait_state(server, word, "hot")


def versions(server, model="talker"):
    reply = server.get(f"/admin/v1/models/{model}/versions")
    assert reply.status_code == 200, reply.text
    return {version["version"]: version for version in reply.json()["versions"]}


def test_versions_are_registered(serve, talkers):
    server = serve(talkers)
    known = versions(server)
    assert set(known) == {"1", "2", "3"} and known["1"]["added_by"] == "config" and known["1"]["names"] == ["chat"]
    digest = hashlib.sha256((talkers / "alpha.gguf").read_bytes()).hexdigest()
    wait_until(lambda: versions(server)["1"]["sha256"] == digest, "the hash")
    assert server.get("/admin/v1/models/talker/versions/2").json()["file"].endswith("beta.gguf")
    assert server.get("/admin/v1/models/talker/versions/9").status_code == 404


def test_a_version_is_added_used_and_removed(start, talkers, tmp_path):
    folder, data = tmp_path / "models", tmp_path / "data"
    folder.mkdir()
    shutil.copy(talkers / "alpha.gguf", folder / "talker.gguf")
    shutil.copytree(talkers, folder / "more")
    words = ("--models-dir", folder, "--threads", 1, "--ctx-size", 1024, "--data-dir", data)
    server = start(*words)
    assert says(server, "talker") == ("alpha", "talker@1")
    path = "/admin/v1/models/talker/versions"
    asked = {"file": "more/beta.gguf", "notes": "a note", "args": {"ctx-size": 512}}
    added = server.post(path, asked)
    assert added.status_code == 201, added.text
    assert added.json()["version"] == "2" and added.json()["args"]["ctx-size"] == "512"
    wait_until(lambda: alias(server, "talker")["to"] == "talker@2", "the newest to be proven")
    assert says(server, "talker") == ("beta", "talker@2")
    assert server.request("DELETE", path + "/2").status_code == 409, "the model's name means it"
    assert server.post(path, {"file": "more/gamma.gguf", "version": "2"}).status_code == 409
    assert server.post(path, {"file": "/etc/passwd"}).status_code == 403
    assert server.post(path, {"file": "../data/state.sqlite"}).status_code == 403
    assert server.post(path, {"file": "nothing.gguf"}).status_code == 404
    assert server.post(path, {"file": "more/gamma.gguf", "args": {"port": 1}}).status_code == 400
    assert server.request("DELETE", path + "/1").status_code == 409, "the folder has it"
    kill(server)
    server = start(*words)
    assert versions(server)["2"]["notes"] == "a note"
    assert says(server, "talker") == ("beta", "talker@2")
    assert server.post("/admin/v1/aliases/talker/switch", {"to": "talker@1"}).status_code == 200
    assert server.request("DELETE", path + "/2").status_code == 200
    assert set(versions(server)) == {"1"}
    assert server.chat("talker@2").status_code == 404


def test_a_replaced_file_is_a_new_version(start, slow_talkers, tmp_path):
    """The stream on the old file ends whole; the name moves when the new one has answered."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(slow_talkers / "alpha.gguf", folder / "talker.gguf")
    server = start("--models-dir", folder, "--threads", 1, "--ctx-size", 4096)
    stream = Background(lambda: Chat(server.stream_chat("talker", max_tokens=600)))
    wait_until(lambda: admin.version(server, "talker@1")["leases"] == 1, "the stream")
    shutil.copy(slow_talkers / "beta.gguf", tmp_path / "new.gguf")
    (tmp_path / "new.gguf").rename(folder / "talker.gguf")
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: alias(server, "talker")["to"] == "talker@2", "the new file")
    assert says(server, "talker") == ("beta", "talker@2")
    assert stream.result().assert_whole().text.split() == ["alpha"] * 600
    assert versions(server)["1"]["replaced_by"] == "talker@2"
    admin.wait_state(server, "talker@1", "parked")
    admin.act(server, "talker@1", "unload")
    gone = server.chat("talker@1")
    assert gone.status_code == 404 and "replaced" in gone.text
    assert says(server, "talker")[0] == "beta"


def test_a_replaced_file_that_is_broken_changes_nothing(start, talkers, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(talkers / "alpha.gguf", folder / "talker.gguf")
    server = start("--models-dir", folder, "--threads", 1, "--ctx-size", 1024)
    assert says(server, "talker")[0] == "alpha"
    broken = gguf_files.make_broken(tmp_path, "truncated", talkers / "beta.gguf")
    broken.rename(folder / "talker.gguf")
    assert server.post("/admin/v1/config/reload").status_code == 200
    wait_until(lambda: [line["outcome"] for line in alias(server, "talker")["history"]] == ["failed"], "the failure")
    assert says(server, "talker") == ("alpha", "talker@1")
