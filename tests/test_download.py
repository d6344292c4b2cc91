"""Models from a hub, by llama.cpp's own downloader: `pull`, -hf, POST and DELETE /models."""

import os
import subprocess

import pytest

from support import gguf_files, paths
from support.hub import Hub
from support.process import Chat, EventLog

NEAR = ("--threads", 1, "--ctx-size", 512)
NAME = "someone/tiny-GGUF:Q8_0"


@pytest.fixture
def hub(tmp_path):
    file = gguf_files.make_talker(tmp_path / "remote.gguf", "alpha")
    hub = Hub({"someone/tiny-GGUF": {"tiny-Q8_0.gguf": file}, "someone/empty": {}})
    yield hub
    hub.close()


@pytest.fixture
def env(hub, tmp_path):
    return {"MODEL_ENDPOINT": hub.url, "HF_ENDPOINT": hub.url, "LLAMA_CACHE": str(tmp_path / "cache"), "HF_TOKEN": ""}


def test_download_use_and_delete(start, talkers, hub, env):
    server = start("--models-dir", talkers, "--models-max", 1, *NEAR, env=env)
    server.load("beta")
    log = EventLog(server, "/models/sse")
    reply = server.post("/models", {"model": NAME})
    assert reply.status_code == 200 and reply.json() == {"success": True}, reply.text
    log.wait(lambda event: event["event"] == "download_finished" and event["model"] == NAME, "the download")
    assert [e for e in log.events if e["event"] in ("download_progress", "status_change") and e["model"] == NAME]
    assert server.status("beta") == "loaded", "a download takes nobody's place"
    entry = server.models()[NAME]
    assert entry["source"] == "cache" and entry["can_remove"] is True
    assert Chat(server.stream_chat(NAME)).assert_whole().text.split() == ["alpha"] * 8
    again = server.post("/models", {"model": NAME})
    assert again.status_code == 400 and "exists" in again.text
    server.unload(NAME)
    assert server.request("DELETE", f"/models?model={NAME}").json() == {"success": True}
    log.wait(lambda event: event["event"] == "model_remove" and event["model"] == NAME, "the removal")
    log.close()
    assert NAME not in server.models()


@pytest.mark.own
def test_delete_offline(start, hub, env, tmp_path):
    subprocess.run([paths.SWITCHYARD, "pull", NAME], env={**os.environ, **env}, timeout=60, check=True)
    server = start("--models-dir", tmp_path, "--offline", *NEAR, env=env)
    assert NAME in server.models()
    assert server.request("DELETE", f"/models?model={NAME}").json() == {"success": True}
    assert NAME not in server.models()
    refused = server.post("/models", {"model": NAME})
    assert refused.status_code == 501 and "offline" in refused.json()["error"]["message"]


def test_refusals(start, talkers, hub, env):
    server = start("--models-dir", talkers, *NEAR, env=env)
    for name in ("",) if paths.TESTING_PEER else ("someone/unknown", "someone/empty", "", "../../etc"):
        reply = server.post("/models", {"model": name})
        assert reply.status_code >= 400 and reply.json()["error"]["message"], name
    reply = server.request("DELETE", "/models?model=alpha")
    assert reply.status_code >= 400 and "alpha" in server.models()
    assert server.request("DELETE", "/models?model=nothing").status_code >= 400


@pytest.mark.own
def test_download_is_cancelled_by_unload(start, talkers, hub, env):
    server = start("--models-dir", talkers, *NEAR, env=env)
    hub.gate.clear()
    log = EventLog(server, "/models/sse")
    assert server.post("/models", {"model": NAME}).status_code == 200
    server.wait_status(NAME, "downloading")
    assert server.post("/models/unload", {"model": NAME}).status_code == 200
    log.wait(lambda event: event["event"] == "download_failed" and event["model"] == NAME, "the end of it", 60)
    log.close()
    hub.gate.set()
    assert NAME not in server.models()


@pytest.mark.own
def test_pull(hub, env, tmp_path, start, talkers):
    done = subprocess.run([paths.SWITCHYARD, "pull", "someone/tiny-GGUF"], env={**os.environ, **env}, timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 0, done
    assert hub.fetched == ["tiny-Q8_0.gguf"]
    server = start("--models-dir", talkers, *NEAR, env=env)
    assert Chat(server.stream_chat(NAME)).assert_whole().text.split() == ["alpha"] * 8
    failed = subprocess.run([paths.SWITCHYARD, "pull", "someone/unknown"], env={**os.environ, **env}, timeout=60,
                            capture_output=True, text=True)
    assert failed.returncode != 0 and "someone/unknown" in failed.stderr


def test_hf_single_model(start, hub, env):
    server = start("-hf", "someone/tiny-GGUF", *NEAR, env=env)
    assert Chat(server.stream_chat(None)).assert_whole().text.split() == ["alpha"] * 8
    assert hub.fetched == ["tiny-Q8_0.gguf"]
