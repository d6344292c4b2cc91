"""Splits and canaries: several versions share an alias's requests, and one that does worse loses its share."""

import os
import shutil
import signal
import subprocess
import threading

import pytest

from support import admin
from support.paths import GEMMA_FILE, SMOLLM2_FILE, SWITCHYARD
from support.process import Background, Chat, wait_until

pytestmark = pytest.mark.own

CONFIG = """
limits: {{models_max: 4}}
defaults: {{args: {{threads: 1, ctx-size: 1024, parallel: 2}}}}
models:
  - id: talker
    versions:
      - {{version: "1", file: {folder}/alpha.gguf}}
      - {{version: "2", file: {folder}/beta.gguf}}
      - {{version: "3", file: {folder}/gamma.gguf}}
aliases:
  - {{name: chat, to: talker@1}}
  - name: both
    split: [{{to: talker@1, weight: 50}}, {{to: talker@2, weight: 50}}]
    sticky: {{header: x-user-id}}
"""


@pytest.fixture
def serve(start, talkers, tmp_path):
    def begin(*words):
        file = tmp_path / "switchyard.yaml"
        file.write_text(CONFIG.format(folder=talkers))
        return start("--config", file, "--data-dir", tmp_path / "data", *words)

    return begin


def ask(server, name, user=None, **fields):
    """The version that answers, once its words are all of that version."""
    headers = {"x-user-id": user} if user else {}
    reply = server.post("/v1/chat/completions", {"model": name, "max_tokens": 3, **fields,
                                                 "messages": [{"role": "user", "content": "Hello"}]}, headers=headers)
    assert reply.status_code == 200, reply.text
    version = reply.headers["x-switchyard-version"]
    word = {"talker@1": "alpha", "talker@2": "beta", "talker@3": "gamma"}[version]
    assert set(reply.json()["choices"][0]["message"]["content"].split()) == {word}
    return version


def put(server, expect=200, **body):
    reply = server.request("PUT", "/admin/v1/aliases/chat", body)
    assert reply.status_code == expect, reply.text
    return reply.json()


def arms(**weights):
    return [{"to": f"talker@{version[1:]}", "weight": weight} for version, weight in weights.items()]


def test_users_stay_with_their_version_over_weights_restarts_and_servers(serve, start, talkers, tmp_path):
    server = serve()
    users = [f"user-{n}" for n in range(60)]
    put(server, split=arms(v1=90, v2=10), sticky={"header": "x-user-id"})
    first = {user: ask(server, "chat", user) for user in users}
    put(server, split=arms(v1=50, v2=50))
    second = {user: ask(server, "chat", user) for user in users}
    moved = {user for user in users if first[user] != second[user]}
    assert moved and all(second[user] == "talker@2" for user in moved), "from the first to the second only"
    fresh = {user: ask(server, "both", user) for user in users[:10]}
    server.kill()
    again = serve()
    assert {user: ask(again, "chat", user) for user in users} == second
    assert {user: ask(again, "both", user) for user in users[:10]} == fresh
    again.stop()
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG.format(folder=talkers))
    elsewhere = start("--config", other, "--data-dir", tmp_path / "elsewhere")
    assert {user: ask(elsewhere, "both", user) for user in users[:10]} == fresh


def test_a_change_of_weights_under_load_mixes_no_reply(serve):
    server = serve()
    put(server, split=arms(v1=50, v2=50))
    stop = threading.Event()

    def user(name):
        asked = 0
        while not stop.is_set():
            ask(server, "chat", name)
            asked += 1
        return asked

    clients = [Background(user, f"u{n}") for n in range(4)]
    for weight in (10, 90, 30, 70, 0, 100, 50):
        put(server, split=arms(v1=weight, v2=100 - weight))
    put(server, split=arms(v2=40, v3=60))
    stop.set()
    assert all(client.result() > 0 for client in clients)
    assert {arm["to"] for arm in admin.alias(server, "chat")["split"]} == {"talker@2", "talker@3"}


def test_what_is_wrong_leaves_the_last_good_split(serve):
    server = serve()
    put(server, split=arms(v1=90, v2=10))
    good = admin.alias(server, "chat")["split"]
    assert "add up to 95" in put(server, 400, split=arms(v1=90, v2=5))["error"]["message"]
    assert put(server, 404, split=[{"to": "nobody@1", "weight": 100}])
    assert admin.alias(server, "chat")["split"] == good
    command = [SWITCHYARD, "split", "chat", "talker@1=90", "talker@2", "--url", server.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "model@version=percent" in done.stdout
    done = subprocess.run([*command[:4], "talker@2=10", *command[5:]], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def canary(server, expect=201, alias="chat", **body):
    reply = server.post(f"/admin/v1/aliases/{alias}/canary", body)
    assert reply.status_code == expect, reply.text
    return reply.json()


def state(server, alias="chat"):
    return server.get(f"/admin/v1/aliases/{alias}/canary").json()


def test_a_good_canary_is_promoted_step_by_step(serve):
    server = serve()
    ask(server, "chat")
    canary(server, to="talker@2", steps=[20, 60], interval="1s", min_requests=3, why="better at words")

    def is_over():
        for _ in range(8):
            ask(server, "chat")
        return state(server)["state"] != "running"

    wait_until(is_over, "the canary's end")
    end = state(server)
    assert end["state"] == "promoted" and end["percent"] == 100, end
    assert [line["move"] for line in end["decisions"]] == ["promote", "advance", "start"]
    assert ask(server, "chat") == "talker@2"
    reply = server.post("/admin/v1/aliases/chat/rollback", {})
    assert reply.json()["serving"] == "talker@1"


REAL = """
limits: {{models_max: 4}}
defaults: {{args: {{threads: 1, ctx-size: 1024, parallel: 2}}}}
models:
  - {{id: good, file: {good}}}
  - {{id: other, file: {other}, isolation: process}}
aliases:
  - {{name: chat, to: good}}
"""


@pytest.fixture
def real(start, real_models, tmp_path):
    """chat means SmolLM2; Gemma 3 is in a process of its own, to which a test may do something."""
    file, other = tmp_path / "real.yaml", tmp_path / "other.gguf"
    shutil.copy(real_models / GEMMA_FILE.name, other)
    file.write_text(REAL.format(good=real_models / SMOLLM2_FILE.name, other=other))
    server = start("--config", file, "--data-dir", tmp_path / "data")
    server.load("good")
    server.load("other")
    server.other_file = other
    return server


def users(server, stop, count=4):
    """Users who stream from chat until `stop`: how many whole replies each had. Any failed one raises."""

    def user(name):
        whole = 0
        while not stop.is_set():
            stream = server.stream("/v1/chat/completions",
                                   {"model": "chat", "max_tokens": 6, "stream": True, "user": f"{name}-{whole}",
                                    "messages": [{"role": "user", "content": "Count to five."}]})
            Chat(stream).assert_whole()
            whole += 1
        return whole

    return [Background(user, f"u{n}") for n in range(count)]


def test_a_canary_that_is_slow_is_rolled_back_and_no_user_sees_it(real):
    stop = threading.Event()
    (worker,) = real.workers()
    pid = worker.pid
    slow = threading.Event()

    def hold_up():  # stopped for four fifths of the time: a real delay, and no hang
        while not slow.wait(0.05):
            os.kill(pid, signal.SIGSTOP)
            slow.wait(0.2)
            os.kill(pid, signal.SIGCONT)

    delay = threading.Thread(target=hold_up)
    delay.start()
    try:
        clients = users(real, stop)
        canary(real, to="other", steps=[50], interval="1h", min_requests=5, max_ttft_ratio=1.5, min_speed_ratio=0.8)
        wait_until(lambda: state(real)["state"] != "running", "the rollback", deadline=120)
    finally:
        slow.set()
        delay.join()
        stop.set()
    assert all(client.result() > 0 for client in clients)
    end = state(real)
    assert end["state"] == "rolled_back", end
    assert "of the stable arm's" in end["decisions"][0]["reason"]
    assert admin.alias(real, "chat")["split"] is None
    assert admin.alias(real, "chat")["to"] == "good@1"


def test_a_canary_that_fails_is_rolled_back_and_no_user_sees_it(real):
    # It has answered before, and cannot be loaded any more.
    real.unload("other")
    with real.other_file.open("r+b") as file:
        file.truncate(1 << 20)
    stop = threading.Event()
    clients = users(real, stop)
    canary(real, to="other@1", steps=[50], interval="1h", min_requests=5)
    wait_until(lambda: state(real)["state"] != "running", "the rollback", deadline=60)
    stop.set()
    assert all(client.result() > 0 for client in clients)
    end = state(real)
    assert end["state"] == "rolled_back", end
    assert "failed" in end["decisions"][0]["reason"]
    assert admin.alias(real, "chat")["to"] == "good@1"


def test_a_canary_outlives_a_kill_of_the_server(serve):
    server = serve()
    canary(server, to="talker@2", steps=[10, 50], interval="1h")
    before = state(server)
    server.kill()
    again = serve()
    after = state(again)
    assert after["state"] == "running" and after["percent"] == 10
    assert after["decisions"] == before["decisions"]
    command = [SWITCHYARD, "canary", "abort", "chat", "--url", again.url]
    assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    assert ask(again, "chat") == "talker@1"
