"""Health and recovery: what is known of a model, and what happens when it has none."""

import contextlib
import re
import shutil
from pathlib import Path

import pytest
import requests

from support import admin, gguf_files
from support.paths import GEMMA, SMOLLM2, SWITCHYARD
from support.process import Background, Chat, Process, wait_until
from support.stuck import engine_loop, held_still

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "switchyard.yaml"
    file.write_text(text)
    return file


def health(server, name: str) -> dict:
    reply = server.get("/admin/v1/health")
    assert reply.status_code == 200, reply.text
    return next(version for version in reply.json()["versions"] if version["id"] == name)


def wait_health(server, name: str, wanted: str) -> dict:
    return wait_until(lambda: (now := health(server, name))["health"] == wanted and now, f"{name} to be {wanted}")


def metric(server, name: str) -> float:
    match = re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics").text, re.MULTILINE)
    return float(match.group(1)) if match else 0.0


def command(server, *words) -> Process:
    process = Process([SWITCHYARD, *words, "--url", server.url])
    process.wait()
    return process


@contextlib.contextmanager
def stuck(server, model: str):
    """`model` streams, and its engine's loop is held still: it is found to be stuck."""
    loop = engine_loop(server.pid)
    told = []
    stream = Background(lambda: Chat(server.stream_chat(model, "Tell me a story.", max_tokens=900, ignore_eos=True),
                                     on_token=lambda: told.append(1)))
    wait_until(lambda: len(told) > 3, "tokens")
    with held_still(loop):
        yield stream


@pytest.fixture
def two(start, real_models, tmp_path):
    """SmolLM2 as `real`, which one failure quarantines, and an alias of it for which `spare` stands in."""
    shutil.copy(real_models / "SmolLM2-135M-Instruct.Q4_1.gguf", tmp_path / "real.gguf")
    gguf_files.make_talker(tmp_path / "spare.gguf", "beta")
    return start("--config", config(tmp_path, f"""
defaults: {{args: {{threads: 1, ctx-size: 1024}}}}
models:
  - {{id: real, file: {tmp_path / 'real.gguf'}, health: {{interval: 0, stuck_after: 2s, quarantine_after: 1}}}}
  - {{id: spare, file: {tmp_path / 'spare.gguf'}}}
aliases: [{{name: front, to: real, fallbacks: [spare]}}]
"""))


def test_a_real_model_is_probed_after_its_load_and_that_is_counted_for_nobody(start, real_models):
    server = start("--models-dir", real_models, *NEAR)
    log = admin.events(server)
    assert health(server, f"{SMOLLM2}@1")["health"] == "unknown"
    for model in (SMOLLM2, GEMMA):
        admin.act(server, model, "load")
        event = log.wait(lambda e, model=model: e["type"] == "health" and e["model"] == model, "a verdict")
        assert event["source"] == "probe" and event["from"] == "unknown"
        now = health(server, f"{model}@1")
        assert now["health"] == event["to"] and now["latency_ms"] > 0 and now["history"][0]["source"] == "probe"
        assert metric(server, f'switchyard_health_state{{model="{model}",state="{event["to"]}"}}') == 1
        assert metric(server, f'switchyard_probe_seconds_count{{model="{model}"}}') == 1
        assert metric(server, f'switchyard_requests_total{{model="{model}",status="200"}}') == 0
    log.close()
    assert server.chat(SMOLLM2, max_tokens=4).status_code == 200
    predicted = f'llamacpp:tokens_predicted_total{{model="{SMOLLM2}"}}'
    assert wait_until(lambda: metric(server, predicted), "the engine's counts") == 4
    table = command(server, "health")
    assert SMOLLM2 in table.log and "hot" in table.log and " ms" in table.log


def test_an_embedding_model_is_probed_by_an_embedding(start, real_models, tmp_path):
    server = start("--config", config(tmp_path, f"""
models:
  - {{id: e, file: {real_models / 'SmolLM2-135M-Instruct.Q4_1.gguf'}, args: {{threads: 1, ctx-size: 512, embedding: true}}}}
"""))
    admin.act(server, "e", "load")
    wait_until(lambda: health(server, "e@1")["latency_ms"], "a probe")
    assert health(server, "e@1")["reason"] is None


def test_a_slow_model_is_degraded_or_failed_and_goes_on(start, real_models, tmp_path):
    file = real_models / "SmolLM2-135M-Instruct.Q4_1.gguf"
    server = start("--config", config(tmp_path, f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - {{id: slow, file: {file}, health: {{healthy: 1ms, degraded: 1h}}}}
  - {{id: late, file: {file}, health: {{healthy: 1ms, degraded: 1ms, interval: 1s, failures: 1}}}}
"""))
    admin.act(server, "slow", "load")
    admin.act(server, "late", "load")
    wait_health(server, "slow@1", "degraded")
    wait_health(server, "late@1", "failed")
    wait_until(lambda: health(server, "late@1")["failed_probes"] >= 3, "more probes")
    for model in ("slow", "late"):
        assert admin.state(server, model) == "hot" and health(server, f"{model}@1")["restarts"] == 0
        assert server.chat(model).status_code == 200
    assert server.get("/ready").status_code == 200


def test_real_replies_are_proof(start, tmp_path):
    gguf_files.make_talker(tmp_path / "alpha.gguf", "alpha")
    server = start("--config", config(tmp_path, f"""
models: [{{id: alpha, file: {tmp_path / 'alpha.gguf'}, args: {{threads: 1}}, health: {{interval: 0}}}}]
"""))
    assert server.chat("alpha").status_code == 200
    now = wait_health(server, "alpha@1", "healthy")
    assert [check["source"] for check in now["history"]] == ["reply"], "and no probe was needed"
    assert metric(server, 'switchyard_probe_seconds_count{model="alpha"}') == 0


def test_what_fails_too_often_is_quarantined_and_its_alias_goes_on(two):
    assert two.chat("front").headers["x-switchyard-version"] == "real@1"
    with stuck(two, "front") as stream:
        assert "broke while it answered" in stream.result().error["message"]
        now = wait_health(two, "real@1", "quarantined")
    assert "was stuck" in now["reason"] and now["failures"] == 1 and now["restarts"] == 0
    refused = two.chat("real")
    assert refused.status_code == 503 and refused.json()["error"]["switchyard_code"] == "unavailable"
    assert "switchyard release real@1" in refused.text and int(refused.headers["Retry-After"]) > 0
    assert two.post("/admin/v1/models/real/load").status_code == 503
    # The alias goes on, and says by whom.
    reply = two.chat("front")
    assert reply.headers["x-switchyard-version"] == "spare@1"
    assert reply.headers["x-switchyard-fallback"] == "for real@1"
    assert reply.json()["choices"][0]["message"]["content"].split() == ["beta"] * 8
    assert Chat(two.stream_chat("front")).assert_whole("spare").text.split() == ["beta"] * 8
    assert two.get("/ready").status_code == 200, "spare may answer"
    table = command(two, "health")
    assert "quarantined" in table.log and "was stuck" in table.log
    assert re.search(r"^real +\w+, quarantined ", command(two, "ls").log, re.M)
    released = command(two, "release", "real")
    assert released.poll() == 0 and "real@1 may be loaded again" in released.log
    reply = two.chat("front")
    assert reply.headers["x-switchyard-version"] == "real@1" and "x-switchyard-fallback" not in reply.headers


def test_a_changed_file_ends_a_quarantine(two, tmp_path):
    assert two.chat("real").status_code == 200
    with stuck(two, "real"):
        wait_health(two, "real@1", "quarantined")
    shutil.copy(tmp_path / "real.gguf", tmp_path / "new.gguf")
    (tmp_path / "new.gguf").rename(tmp_path / "real.gguf")
    assert two.post("/admin/v1/config/reload").status_code == 200
    assert two.chat("real").status_code == 200


def test_a_quarantine_outlives_a_kill(start, tmp_path):
    """It is as it was at the next start; where its file is another by then, it is tried again."""
    gguf_files.make_talker(tmp_path / "alpha.gguf", "alpha")
    words = ("--data-dir", tmp_path / "kept", "--config", config(tmp_path, f"""
models: [{{id: alpha, file: {tmp_path / 'alpha.gguf'}, args: {{threads: 1, ctx-size: 4096}},
          health: {{interval: 0, stuck_after: 1s, quarantine_after: 1}}}}]
"""))
    server = start(*words)
    assert server.chat("alpha").status_code == 200
    with stuck(server, "alpha"):
        reason = wait_health(server, "alpha@1", "quarantined")["reason"]
    # Told first, noted behind.
    wait_until(lambda: b"was stuck" in b"".join(file.read_bytes() for file in (tmp_path / "kept").glob("state.sqlite*")),
               "it to be noted")
    server.kill()
    server = start(*words)
    assert health(server, "alpha@1")["health"] == "quarantined" and health(server, "alpha@1")["reason"] == reason
    assert server.chat("alpha").status_code == 503
    assert server.stop() == 0
    shutil.copy(tmp_path / "alpha.gguf", tmp_path / "new.gguf")
    (tmp_path / "new.gguf").rename(tmp_path / "alpha.gguf")
    server = start(*words)
    assert server.chat("alpha").headers["x-switchyard-version"] == "alpha@2"


def test_not_ready_when_no_model_can_answer_but_alive(start, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and nothing else")
    server = start("--models-dir", tmp_path, *NEAR)
    assert server.get("/ready").status_code == 200, "nobody has asked for it yet"
    assert server.chat("bad").status_code == 422
    reply = server.get("/ready")
    assert reply.status_code == 503 and "no model can answer" in reply.text
    assert server.get("/health").status_code == 200
    assert health(server, "bad@1")["health"] == "failed" and health(server, "bad@1")["failures"] == 0


def test_ready_and_health_need_no_key(start, talkers):
    server = start("--models-dir", talkers, "--api-key", "secret", *NEAR)
    server.session.headers.pop("Authorization", None)
    assert server.get("/ready").status_code == server.get("/health").status_code == 200
    assert server.get("/admin/v1/health").status_code == 401


def test_a_stuck_engine_ends_its_replies_with_an_error_and_is_replaced(start, real_models, tmp_path):
    """Its loop is held still from outside. Its own stream ends with an error frame, the other model's goes on, and
    the model answers again beside what is stuck, whose bytes are said to be lost."""
    server = start("--config", config(tmp_path, f"""
server: {{models_dir: {real_models}}}
defaults: {{args: {{threads: 1, ctx-size: 1024}}, health: {{interval: 0, stuck_after: 2s}}}}
"""))
    admin.act(server, SMOLLM2, "load")
    loop = engine_loop(server.pid)
    admin.act(server, GEMMA, "load")
    log = admin.events(server)
    told = []
    victim = Background(lambda: Chat(server.stream_chat(SMOLLM2, "Tell me a story.", max_tokens=900, ignore_eos=True),
                                     on_token=lambda: told.append(1)))
    wait_until(lambda: len(told) > 3, "tokens")
    with held_still(loop):
        other = Background(lambda: Chat(server.stream_chat(GEMMA, max_tokens=40)))
        cut = victim.result()
        assert cut.status == 200 and not cut.done
        assert cut.error["switchyard_code"] == "unavailable" and "broke while it answered" in cut.error["message"]
        failed = log.wait(admin.reached(SMOLLM2, "failed"), "the failure")
        assert "was stuck" in failed["error"] and failed["from"] == "hot"
        assert server.chat(SMOLLM2).status_code == 200, "by the next engine, beside the stuck one"
        other.result().assert_whole(GEMMA)
        now = health(server, f"{SMOLLM2}@1")
        assert now["restarts"] == 1 and now["state"] == "hot"
        wait_until(lambda: health(server, f"{SMOLLM2}@1")["lost_bytes"] > 0, "it to be given up")
        assert admin.version(server, SMOLLM2)["lost_bytes"] == health(server, f"{SMOLLM2}@1")["lost_bytes"]
        assert metric(server, f'switchyard_lost_bytes{{model="{SMOLLM2}"}}') > 0
        assert metric(server, f'switchyard_engine_restarts_total{{model="{SMOLLM2}"}}') == 1
    log.close()


def test_a_reply_of_which_nothing_was_sent_survives_a_stuck_engine(start, real_models, tmp_path):
    """It waited for a slot of the engine that got stuck: the next engine answers it."""
    server = start("--config", config(tmp_path, f"""
server: {{models_dir: {real_models}}}
defaults: {{args: {{threads: 1, ctx-size: 1024, parallel: 1}}, health: {{interval: 0, stuck_after: 2s}}}}
"""))
    admin.act(server, SMOLLM2, "load")
    loop = engine_loop(server.pid)
    told = []
    busy = Background(lambda: Chat(server.stream_chat(SMOLLM2, max_tokens=900, ignore_eos=True),
                                   on_token=lambda: told.append(1)))
    wait_until(lambda: len(told) > 3, "tokens")
    queued = Background(server.chat, SMOLLM2)
    wait_until(lambda: admin.version(server, SMOLLM2)["leases"] == 2, "the second request to wait in the engine")
    with held_still(loop):
        assert busy.result().error["switchyard_code"] == "unavailable"
        reply = queued.result()
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["completion_tokens"] == 8


def test_an_engine_that_is_only_slow_in_its_prompt_is_left_alone(start, real_models, tmp_path):
    """Beats come from within a decode: one that takes longer than stuck_after is not stuck."""
    server = start("--config", config(tmp_path, f"""
server: {{models_dir: {real_models}}}
defaults: {{args: {{threads: 1, ctx-size: 4096}}, health: {{interval: 0, stuck_after: 1s}}}}
"""))
    reply = server.chat(GEMMA, "word " * 3000, max_tokens=1)
    assert reply.status_code == 200, reply.text
    assert health(server, f"{GEMMA}@1")["restarts"] == 0


def test_metrics_and_probes_never_wait_for_a_stuck_engine(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    admin.act(server, "alpha", "load")
    loop = engine_loop(server.pid)
    with held_still(loop, computing=False):
        for path in ("/health", "/ready", "/metrics", "/admin/v1/health"):
            assert requests.get(server.url + path, timeout=10).status_code == 200
