"""Experiments as a user sees them: begun, fed by requests and feedback, decided, kept over a kill, the commands."""

import json
import subprocess

import pytest

from support import paths
from support.process import wait_until

pytestmark = pytest.mark.own


@pytest.fixture
def config(talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}
  - {{id: beta, file: {talkers / 'beta.gguf'}}}
aliases: [{{name: chat, to: alpha@1}}]
""")
    return file


def begin(server, **changes):
    body = {"id": "x", "alias": "chat", "control": "alpha@1", "variants": ["beta@1"], "metric": "score",
            "minimum_sample": 20} | changes
    return server.post("/admin/v1/experiments", body)


def chat(server, count=1):
    """Replies of the alias; their request ids."""
    replies = [server.post("/v1/chat/completions", {"model": "chat", "max_tokens": 1,
                                                    "messages": [{"role": "user", "content": "hi"}]})
               for _ in range(count)]
    assert all(reply.status_code == 200 for reply in replies)
    return [reply.headers["x-request-id"] for reply in replies]


def say(server, ids, score):
    for number, request in enumerate(ids):
        reply = server.post("/v1/feedback", {"request_id": request, "score": score + 0.01 * (number % 2)})
        assert reply.status_code == 202, reply.text


def report(server):
    return server.get("/admin/v1/experiments/x/report").json()


def observed(server, version, metric):
    rows = [row for row in report(server)["rows"]
            if (row["version"], row["metric"], row["segment"]) == (version, metric, None)]
    return rows[0]["observations"] if rows else 0


def switchyard(server, *words, code=0):
    done = subprocess.run([paths.SWITCHYARD, *words, "--url", server.url], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_feedback_decides_and_the_alias_follows(start, config):
    server = start("--config", config)
    assert begin(server, automatic=True).status_code == 201
    say(server, chat(server, 25), 0.1)
    server.post("/admin/v1/aliases/chat/switch", {"to": "beta@1"}).raise_for_status()
    say(server, chat(server, 19), 0.9)
    wait_until(lambda: observed(server, "beta@1", "score") == 19, "feedback of beta")
    assert report(server)["verdict"]["decision"] == "inconclusive"
    one_more = chat(server)
    server.post("/admin/v1/aliases/chat/switch", {"to": "alpha@1"}).raise_for_status()
    say(server, one_more, 0.9)
    wait_until(lambda: report(server)["state"] == "decided", "a verdict")
    decided = report(server)
    assert decided["verdict"]["decision"] == "promote" and decided["verdict"]["version"] == "beta@1"
    wait_until(lambda: server.get("/admin/v1/aliases/chat").json()["to"] == "beta@1", "the alias to follow")
    assert server.get("/admin/v1/aliases/chat").json()["history"][0]["who"] == "experiment"
    assert decided["observations"]["lost"] == 0


def test_kept_over_a_kill(start, config, tmp_path):
    server = start("--config", config, "--data-dir", tmp_path / "kept")
    assert begin(server, guardrails=["error_rate"], hypothesis="b is better").status_code == 201
    ids = chat(server, 3)
    wait_until(lambda: observed(server, "alpha@1", "latency") == 3, "three observations")
    chat(server, 5)  # some of them are written, the rest is lost, and counted
    server.kill()

    server = start("--config", config, "--data-dir", tmp_path / "kept")
    after = report(server)
    assert after["hypothesis"] == "b is better"
    written, lost = after["observations"]["written"], after["observations"]["lost"]
    assert observed(server, "alpha@1", "latency") == written >= 3
    assert 3 + 4 <= written + lost <= 3 + 5, "the last one may have been observed or not"
    say(server, ids, 1)
    wait_until(lambda: observed(server, "alpha@1", "score") == 3, "feedback of requests before the kill")


def test_commands(start, config, tmp_path):
    server = start("--config", config)
    text = switchyard(server, "experiment", "create", "x", "--alias", "chat", "--control", "alpha", "--variant",
                      "beta", "--metric", "ttft", "--guardrail", "error_rate", "--weights", "90,10")
    assert "x is running: beta@1 against alpha@1 behind chat" in text
    assert "running" in switchyard(server, "experiment", "list")
    assert json.loads(switchyard(server, "experiment", "show", "x", "--json"))["control"]["weight"] == 90
    assert "SURE TO BE WITHIN" in switchyard(server, "experiment", "report", "x")
    plot = tmp_path / "x.svg"
    switchyard(server, "experiment", "report", "x", "--format", "svg", "-o", plot)
    assert plot.read_text().startswith("<svg ")
    assert switchyard(server, "experiment", "report", "x", "--format", "csv").startswith("experiment,segment,")
    switchyard(server, "experiment", "report", "x", "--format", "csv", "-o", tmp_path / "no" / "x.csv", code=1)
    assert "is stopped" in switchyard(server, "experiment", "stop", "x")
    switchyard(server, "experiment", "remove", "x")
    assert "There are no experiments." in switchyard(server, "experiment", "list")
    switchyard(server, "experiment", "show", "x", code=1)
    switchyard(server, "experiment", "create", "y", "--alias", "chat", "--control", "alpha", "--variant", "beta",
               "--metric", "speed", code=2)


def test_paired(start, config, tmp_path):
    server = start("--config", config)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one"}\n\n{"messages": [{"role": "user", "content": "two"}]}\n')
    words = ["experiment", "paired", "--prompts", prompts, "--max-tokens", "4"]
    same = json.loads(switchyard(server, *words, "--a", "alpha", "--b", "alpha@1", "--json"))
    assert same["prompts"] == 2 and same["failed"] == 0 and same["equal"] == 2
    assert [row["line"] for row in same["rows"]] == [1, 3]
    assert "2 of 2 prompts were compared" in switchyard(server, *words, "--a", "alpha", "--b", "beta")
    switchyard(server, *words, "--a", "nobody", "--b", "alpha", code=1)
    prompts.write_text("no json\n")
    switchyard(server, *words, "--a", "alpha", "--b", "beta", code=1)


def test_split(start, config):
    """Both arms of a split answer, each is counted as itself, and the weights are the split's."""
    server = start("--config", config)
    split = [{"to": "alpha@1", "weight": 60}, {"to": "beta@1", "weight": 40}]
    server.request("PUT", "/admin/v1/aliases/chat", {"split": split}).raise_for_status()
    assert begin(server).json()["control"]["weight"] == 60
    replies = [server.post("/v1/chat/completions", {"model": "chat", "max_tokens": 1, "messages": [
        {"role": "user", "content": "hi"}]}) for _ in range(40)]
    answered = [reply.headers["x-switchyard-version"] for reply in replies]
    assert set(answered) == {"alpha@1", "beta@1"}
    for version in set(answered):
        wait_until(lambda: observed(server, version, "latency") == answered.count(version), version)
    assert not report(server)["sample_ratio"]["mismatch"]


def test_routing_goes_on_where_a_definition_is_wrong(start, config):
    server = start("--config", config)
    for changes, status in (({"weights": {"alpha@1": 50, "beta@1": 40}}, 400), ({"variants": ["gamma"]}, 404),
                            ({"metric": "speed"}, 400)):
        reply = begin(server, **changes)
        assert reply.status_code == status and reply.json()["error"]["message"]
    assert len(chat(server)) == 1
