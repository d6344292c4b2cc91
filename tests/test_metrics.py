"""GET /metrics: valid Prometheus text from kept samples, without touching an engine."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import admin
from support.process import Chat, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 2048)


def samples(server):
    reply = server.get("/metrics")
    assert reply.status_code == 200 and reply.headers["Content-Type"].startswith("text/plain")
    return [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]


def value(server, name, **labels):
    found = [s.value for s in samples(server) if s.name == name and labels.items() <= s.labels.items()]
    return sum(found) if found else None


def test_scrape_loads_nothing(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    assert value(server, "switchyard_model_state", model="alpha", state="cold") == 1
    assert all(admin.state(server, word) == "cold" for word in ("alpha", "beta"))


def test_numbers(start, talkers):
    server = start("--models-dir", talkers, "--models-max", 1, *NEAR)
    for word in ("alpha", "beta", "alpha"):
        Chat(server.stream_chat(word, max_tokens=10)).assert_whole()
    assert value(server, "switchyard_model_state", model="alpha", state="hot") == 1
    assert value(server, "switchyard_model_state", model="beta", state="hot") == 0
    assert value(server, "switchyard_load_seconds_count", model="alpha", **{"from": "cold"}) == 1
    assert value(server, "switchyard_load_seconds_count", model="alpha") == 2
    assert value(server, "switchyard_evictions_total", reason="models_max") == 2
    assert value(server, "switchyard_leases", model="alpha") == 0
    assert value(server, "switchyard_queue_wait_seconds_count") >= 3
    assert value(server, "switchyard_model_bytes", model="alpha", estimate="predicted") > 500_000
    wait_until(lambda: (value(server, "llamacpp:tokens_predicted_total", model="alpha") or 0) >= 20,
               "the sample of alpha's tokens")
    wait_until(lambda: (value(server, "llamacpp:tokens_predicted_total", model="beta") or 0) >= 10,
               "the counters of an engine that is gone")


def test_leases_are_seen_while_a_stream_runs(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 4096)
    stream = server.stream_chat("alpha", max_tokens=500)
    reading = iter(stream)
    next(reading)
    assert value(server, "switchyard_leases", model="alpha") == 1
    for _ in reading:
        pass
    wait_until(lambda: value(server, "switchyard_leases", model="alpha") == 0, "the lease to be given back")


def test_help_and_types(start, talkers):
    text = start("--models-dir", talkers, *NEAR).get("/metrics").text
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert typed == helped and "switchyard_model_state" in typed


def test_switches(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 512}}}}
models:
  - id: talker
    versions:
      - {{version: "1", file: {talkers / 'alpha.gguf'}}}
      - {{version: "2", file: {talkers / 'beta.gguf'}}}
aliases: [{{name: chat, to: talker@1}}]
""")
    server = start("--config", file)
    assert server.post("/admin/v1/aliases/chat/switch", {"to": "talker@2"}).status_code == 200
    assert server.post("/admin/v1/aliases/chat/switch", {"to": "talker@7"}).status_code == 404
    names = {s.name for s in samples(server)}
    assert "switchyard_switches_total" in names
    assert value(server, "switchyard_switches_total", result="ok") == 1


def test_one_models_own_text(choir):
    choir.load("alpha")
    text = choir.get("/metrics?model=alpha")
    # without --metrics llama-server's handler says so
    assert text.status_code in (200, 501)
