"""/admin/v1: what is there, what can be done to it, and what is told of it."""

import pytest

from support import admin
from support.process import Chat

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)


def test_list_and_describe(choir):
    body = choir.get("/admin/v1/models").json()
    assert {model["id"] for model in body["models"]} == {"alpha", "beta", "gamma"}
    assert body["limits"]["models_max"] == 4 and body["limits"]["memory_budget"] > 0
    assert choir.chat("alpha").status_code == 200
    one = choir.get("/admin/v1/models/alpha").json()
    version = one["versions"][0]
    assert one["source"] == "models_dir" and version["state"] == "hot" and version["residency"] == "hot"
    assert version["architecture"] == "llama" and version["n_ctx_train"] == 4096
    assert version["predicted_bytes"][0]["device"] == "host"
    assert version["last_load_seconds"] > 0


def test_whole_life(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    log = admin.events(server)
    for what, state in (("load", "hot"), ("load", "hot"), ("park", "parked"), ("resume", "hot"), ("unload", "cold"),
                        ("unload", "cold")):
        assert admin.act(server, "alpha", what)["state"] == state
    log.wait(admin.reached("alpha", "cold"), "cold")
    log.close()
    seen = [event["to"] for event in log.events if event["type"] == "state" and event["model"] == "alpha"]
    assert seen == ["loading", "warming", "hot", "draining", "parked", "loading", "hot", "draining", "unloading",
                    "cold"] or seen[:3] == ["loading", "warming", "hot"], seen
    for event in log.events:
        assert event["id"] > 0 and event["at"].endswith("Z")
        if event["type"] == "state":
            assert event["from"] and event["to"] and event["cause"], event
    assert [event["id"] for event in log.events] == sorted({event["id"] for event in log.events})


def test_without_waiting(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    admin.act(server, "alpha", "load", expect=202, wait=False)
    admin.wait_state(server, "alpha", "hot")


def test_ids_are_percent_encoded(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
models:
  - {{id: "org/name:Q4", file: {talkers / 'alpha.gguf'}, args: {{threads: 1, ctx-size: 512}}}}
""")
    server = start("--config", file)
    assert server.get("/admin/v1/models/org%2Fname%3AQ4").status_code == 200
    assert admin.act(server, "org/name:Q4", "load")["state"] == "hot"
    assert Chat(server.stream_chat("org/name:Q4")).assert_whole("org/name:Q4").text.split() == ["alpha"] * 8


def test_errors(choir):
    unknown = choir.get("/admin/v1/models/alpah")
    assert unknown.status_code == 404 and "alpha" in unknown.json()["error"]["message"]
    assert choir.post("/admin/v1/models/alpah/load").status_code == 404
    assert choir.post("/admin/v1/models/alpha/dance").status_code == 404
    assert choir.post("/admin/v1/models/alpha/load", {"wiat": True}).status_code == 400
    assert choir.post("/admin/v1/models/alpha/load", {"wait": "yes"}).status_code == 400
    assert choir.post("/admin/v1/config/reload", {"wiat": True}).status_code == 400


def test_load_progress_is_told(start, real_models):
    from support.paths import GEMMA
    server = start("--models-dir", real_models, *NEAR)
    log = admin.events(server)
    admin.act(server, GEMMA, "load")
    log.wait(admin.reached(GEMMA, "hot"), "hot")
    log.close()
    told = [event for event in log.events if event["type"] == "load_progress"]
    assert told
    for stage in {event["stage"] for event in told}:
        progress = [event["progress"] for event in told if event["stage"] == stage]
        assert progress == sorted(progress) and progress[-1] <= 1, (stage, progress)


def test_a_load_can_be_cancelled(start, real_models):
    from support.paths import GEMMA
    server = start("--models-dir", real_models, *NEAR)
    log = admin.events(server)
    admin.act(server, GEMMA, "load", expect=202, wait=False)
    log.wait(admin.reached(GEMMA, "loading"), "the load")
    admin.act(server, GEMMA, "unload")
    log.close()
    assert admin.state(server, GEMMA) == "cold"
    assert server.chat(GEMMA, max_tokens=1).status_code == 200
