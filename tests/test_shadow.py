"""Shadows: copies of an alias's requests go to another version, the replies are compared, and no user feels it."""

import json
import os
import signal
import subprocess

import pytest

from support import admin
from support.paths import GEMMA_FILE, SMOLLM2_FILE, SWITCHYARD
from support.process import wait_until

pytestmark = pytest.mark.own

CONFIG = """
limits: {{models_max: {models_max}}}
defaults: {{args: {{threads: 1, ctx-size: 1024, parallel: 2}}}}
models:
  - id: talker
    versions:
      - {{version: "1", file: {folder}/alpha.gguf}}
      - {{version: "2", file: {folder}/beta.gguf}}
      - {{version: "3", file: {folder}/alpha.gguf, args: {{ctx-size: 2048}}}}
aliases:
  - {{name: chat, to: talker@1{shadow}}}
"""
HELLO = [{"role": "user", "content": "Hello"}]
PATH = "/admin/v1/aliases/chat/shadow"


@pytest.fixture
def serve(start, talkers, tmp_path):
    def begin(*words, models_max=4, shadow=""):
        file = tmp_path / "switchyard.yaml"
        file.write_text(CONFIG.format(folder=talkers, models_max=models_max, shadow=shadow))
        return start("--config", file, "--data-dir", tmp_path / "data", *words)

    return begin


def put(server, expect=200, alias="chat", **body):
    reply = server.request("PUT", f"/admin/v1/aliases/{alias}/shadow", body)
    assert reply.status_code == expect, reply.text
    return reply.json()


def show(server):
    reply = server.get(PATH)
    assert reply.status_code == 200, reply.text
    return reply.json()


def wait_compared(server, count):
    """The shadow, once so many pairs were compared and nothing waits."""

    def is_so():
        shadow = show(server)
        assert shadow["figures"]["failed"]["total"] == 0, shadow
        return shadow if shadow["figures"]["compared"] >= count and shadow["waiting"] == 0 else None

    return wait_until(is_so, f"{count} comparisons")


def ask(server, model="chat", **fields):
    reply = server.post("/v1/chat/completions", {"model": model, "max_tokens": 4, "messages": HELLO, **fields})
    assert reply.status_code == 200, reply.text
    return reply


def ask_in_every_dialect(server):
    """How many requests that were, streamed and not."""
    bodies = [("/v1/chat/completions", {"messages": HELLO, "max_tokens": 5}),
              ("/v1/completions", {"prompt": "Hello", "max_tokens": 5}),
              ("/v1/responses", {"input": "Hello", "max_output_tokens": 5}),
              ("/v1/messages", {"messages": HELLO, "max_tokens": 5})]
    for path, body in bodies:
        for stream in (False, True):
            reply = server.post(path, {"model": "chat", "stream": stream, **body})
            assert reply.status_code == 200 and "alpha" in reply.text, reply.text
    return 2 * len(bodies)


def test_equal_versions_are_equal_in_every_dialect_and_others_are_not(serve):
    server = serve()
    put(server, to="talker@3", fraction=1)
    asked = ask_in_every_dialect(server)
    same = wait_compared(server, asked)["figures"]
    assert same["exact"] == same["compared"] == asked, same
    assert same["length_ratio"] == {"characters": 1, "tokens": 1}
    assert same["dropped"]["total"] == 0
    assert same["user"]["ttft_ms"] > 0 and same["shadow"]["ttft_ms"] > 0 and same["shadow"]["total_ms"] > 0
    put(server, to="talker@2", fraction=1)
    asked = ask_in_every_dialect(server)
    other = wait_compared(server, asked)["figures"]
    assert other["exact"] == 0 and other["compared"] == asked
    assert other["length_ratio"]["tokens"] == 1
    assert other["length_ratio"]["characters"] == pytest.approx(4.8 / 5.8, abs=0.05)  # beta, alpha


def test_a_copy_is_nobodys_request(serve):
    server = serve()
    put(server, to="talker@2", fraction=1)
    for _ in range(3):
        assert ask(server).headers["x-switchyard-version"] == "talker@1"
    wait_compared(server, 3)
    metrics = server.get("/metrics").text
    assert 'switchyard_requests_total{model="talker",status="200"} 3' in metrics
    assert 'switchyard_shadow_requests_total{alias="chat",result="compared"} 3' in metrics
    assert not any("-shadow" in line for line in server.lines), "it is no line of the log"
    conversation = server.post("/v1/chat/completions", {"model": "chat", "max_tokens": 4, "messages": HELLO},
                               headers={"X-Conversation-Id": "c1"})
    assert conversation.status_code == 200
    assert ask(server).status_code == 200
    assert wait_compared(server, 4)["figures"]["compared"] == 4, "a conversation is not copied"


def test_a_fraction_is_copied(serve):
    server = serve()
    put(server, to="talker@2", fraction=0.3)
    for n in range(60):
        ask(server, max_tokens=1, seed=n)
    shadow = wait_until(lambda: (now := show(server))["waiting"] == 0 and now, "the copies")
    assert 6 <= shadow["figures"]["compared"] <= 32, shadow


def test_nobody_waits_for_a_shadow_that_hangs(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: good, file: {talkers}/alpha.gguf}}
  - {{id: other, file: {talkers}/beta.gguf, isolation: process}}
aliases: [{{name: chat, to: good}}]
""")
    server = start("--config", file)
    server.load("other")
    (worker,) = server.workers()
    put(server, to="other", fraction=1)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        ask(server)
        wait_until(lambda: admin.version(server, "other")["leases"] == 1, "the copy to be with the worker that is stopped")
        for _ in range(5):
            ask(server)  # each has its reply, and the copy is where it was
        wait_until(lambda: show(server)["waiting"] == 6, "all of them to wait for their copies")
        assert show(server)["figures"]["compared"] == 0
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert wait_compared(server, 6)["figures"]["compared"] == 6, "and they are made once it goes on"


def test_a_copy_costs_no_model_its_place(serve):
    server = serve(models_max=1)
    put(server, to="talker@2", fraction=1)
    ask(server)
    shadow = wait_until(lambda: (now := show(server))["figures"]["failed"]["total"] and now, "its failure")
    assert shadow["figures"]["failed"]["reasons"] == {"no_room": 1}
    states = {v["version"]: v["state"] for v in server.get("/admin/v1/models/talker").json()["versions"]}
    assert states["1"] == "hot" and states["2"] == "cold", states


def test_it_outlives_a_kill_and_a_line_of_the_file_counts_when_it_changes(serve):
    server = serve(shadow=", shadow: {to: talker@2, fraction: 1}")
    ask(server)
    wait_compared(server, 1)
    put(server, to="talker@3", fraction=1, keep_replies=True)
    ask(server)
    before = wait_compared(server, 1)
    replies = server.get(PATH + "/replies").json()["replies"]
    (pair,) = replies
    assert pair["exact"] and pair["reply"].split() == ["alpha"] * 4 and "Hello" in pair["prompt"]
    wait_until(lambda: figures_are_written(server), "the figures to be on disk")
    server.kill()
    again = serve(shadow=", shadow: {to: talker@2, fraction: 1}")
    after = show(again)
    assert after == {**before, "who": after["who"]}, "the call counts more than the line that it came after"
    assert again.get(PATH + "/replies").json()["replies"] == replies
    command = [SWITCHYARD, "shadow", "stop", "chat", "--url", again.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "stopped"
    again.kill()
    third = serve(shadow=", shadow: {to: talker@2, fraction: 1}")
    assert show(third)["state"] == "stopped"
    assert third.get(PATH + "/replies").json()["replies"] == []
    third.stop()
    fourth = serve(shadow=", shadow: {to: talker@2, fraction: 0.5}")
    assert show(fourth)["state"] == "running" and show(fourth)["fraction"] == 0.5


def figures_are_written(server):
    import sqlite3
    folder = server.words[server.words.index("--data-dir") + 1]
    with sqlite3.connect(f"file:{folder}/state.sqlite?mode=ro", uri=True) as state:
        ((figures,),) = state.execute("SELECT figures FROM shadows WHERE alias = 'chat'").fetchall()
    return "compared=1" in figures


@pytest.mark.parametrize("shadow, why", [
    ("{to: talker@9}", "no version '9'"), ("{to: talker@1}", "means already"), ("{fraction: 0.1}", "needs a 'to'"),
    ("{to: talker@2, fraction: 1.5}", "above 0 and at most 1"), ("{to: talker@2, fraction: 0}", "above 0"),
    ("{to: talker@2, fractoin: 1}", "fraction"),
    ("{to: talker@2, similarity_model: nobody}", "similarity_model")])
def test_a_wrong_line_of_the_file_says_what_is_wrong(talkers, tmp_path, shadow, why):
    file = tmp_path / "c.yaml"
    file.write_text(CONFIG.format(folder=talkers, models_max=4, shadow=f", shadow: {shadow}"))
    done = subprocess.run([SWITCHYARD, "config", "check", file], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and why in done.stdout + done.stderr, done


def test_what_is_wrong_changes_nothing(serve):
    server = serve()
    assert "another version" in put(server, 400, to="talker@1")["error"]["message"]
    assert "fraction" in put(server, 400, to="talker@2", fraction=2)["error"]["message"]
    assert put(server, 404, to="nobody@1")["error"]["switchyard_code"] == "not_found"
    assert put(server, 404, alias="nobody", to="talker@2")
    assert server.get(PATH).status_code == 404


def test_two_real_models_and_an_embedding_model(start, real_models, tmp_path):
    file = tmp_path / "real.yaml"
    file.write_text(f"""
limits: {{models_max: 4}}
defaults: {{args: {{threads: 1, ctx-size: 1024, parallel: 2}}}}
models:
  - {{id: small, file: {real_models / SMOLLM2_FILE.name}}}
  - {{id: other, file: {real_models / GEMMA_FILE.name}}}
  - {{id: embedder, file: {real_models / SMOLLM2_FILE.name}, args: {{embeddings: true, pooling: mean}}}}
aliases: [{{name: chat, to: small}}]
""")
    server = start("--config", file)
    server.load("other")
    words = [SWITCHYARD, "shadow", "start", "chat", "other", "--fraction", "1", "--similarity-model", "embedder",
             "--keep-replies", "--url", server.url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    question = [{"role": "user", "content": "Name the capital of France."}]
    ask(server, max_tokens=12, messages=question, temperature=0)
    figures = wait_compared(server, 1)["figures"]
    assert figures["similarity"] == {"mean": None, "computed": 0, "not_computed": {"not_hot": 1}}
    server.load("embedder")
    ask(server, max_tokens=12, messages=question, temperature=0, stream=True)
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"],
        "additionalProperties": False}}}
    ask(server, max_tokens=40, messages=question, response_format=form, temperature=0)
    figures = wait_compared(server, 3)["figures"]
    assert figures["similarity"]["computed"] == 2, figures
    assert 0 < figures["similarity"]["mean"] <= 1
    assert figures["json"] == {"expected": 1, "user_valid": 1, "shadow_valid": 1}
    pairs = server.get(PATH + "/replies").json()["replies"]
    assert len(pairs) == 3 and all(pair["version"] == "small@1" and "France" in pair["prompt"] for pair in pairs)
    shown = subprocess.run([SWITCHYARD, "shadow", "show", "chat", "--url", server.url], capture_output=True,
                           text=True, timeout=60)
    assert shown.returncode == 0 and "compared 3" in shown.stdout and "not computed 1 (not_hot)" in shown.stdout, shown
    replies = subprocess.run([SWITCHYARD, "shadow", "show", "chat", "--replies", "--url", server.url],
                             capture_output=True, text=True, timeout=60)
    assert replies.returncode == 0 and replies.stdout.count("shadow: ") == 3
