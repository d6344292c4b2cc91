"""A drop-in for llama-server's router: the same statuses, the same commands, the same events."""

import pytest
import requests

from support import admin, gguf_files, paths
from support.process import Background, Chat, EventLog, EventStream, wait_until

NEAR = ("--threads", 1, "--ctx-size", 1024)


def test_props_without_a_model(start, talkers):
    server = start("--models-dir", talkers, "--models-max", 2, "--no-models-autoload", *NEAR)
    props = server.get("/props").json()
    assert props["role"] == "router"
    assert props["max_instances"] == 2
    assert props["models_autoload"] is False
    assert props["build_info"]


def test_list(choir):
    reply = choir.get("/models").json()
    assert reply["object"] == "list"
    assert {"alpha", "beta", "gamma"} <= {entry["id"] for entry in reply["data"]}
    for entry in reply["data"]:
        assert entry["object"] == "model" and entry["owned_by"] == "llamacpp"
        assert entry["status"]["value"] in ("unloaded", "loading", "loaded", "sleeping")
        assert entry["source"] == "models_dir" and entry["can_remove"] is False
        assert entry["architecture"]["input_modalities"] == ["text"]
        assert {"aliases", "tags", "created"} <= set(entry)


def test_meta_is_there_once_loaded(choir):
    choir.load("alpha")
    meta = choir.models()["alpha"]["meta"]
    assert meta["n_ctx_train"] == 4096 and meta["n_vocab"] == len(gguf_files.TOKENS)


def test_load_and_unload(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    assert server.status("alpha") == "unloaded"
    assert server.post("/models/load", {"model": "alpha"}).json() == {"success": True}
    server.wait_status("alpha", "loaded")
    again = server.post("/models/load", {"model": "alpha"})
    assert again.status_code == 400 and "already" in again.json()["error"]["message"]
    assert server.post("/models/unload", {"model": "alpha"}).json() == {"success": True}
    server.wait_status("alpha", "unloaded")
    again = server.post("/models/unload", {"model": "alpha"})
    assert again.status_code == 400 and "not running" in again.json()["error"]["message"]


@pytest.mark.own
def test_load_that_waits(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    assert server.post("/models/load", {"model": "alpha", "wait": True}).status_code == 200
    assert server.status("alpha") == "loaded"
    assert server.post("/models/unload", {"model": "alpha", "wait": True}).status_code == 200
    assert server.status("alpha") == "unloaded"


def test_load_of_the_unknown(choir):
    for path in ("/models/load", "/models/unload"):
        reply = choir.post(path, {"model": "no-such-model"})
        assert reply.status_code in (400, 404)
        assert reply.json()["error"]["message"]


def test_each_model_answers_under_its_own_name(choir):
    for word in ("alpha", "beta", "gamma", "alpha"):
        chat = Chat(choir.stream_chat(word)).assert_whole(word)
        assert set(chat.text.split()) == {word}
        assert set(choir.post("/completion", {"model": word, "prompt": "x", "n_predict": 3}).json()["content"]
                   .split()) == {word}


def test_get_endpoints_take_the_model_from_the_query(choir):
    choir.load("beta")
    props = choir.get("/props?model=beta").json()
    assert props["default_generation_settings"]["n_ctx"] == 2048
    assert props["model_path"].endswith("beta.gguf")
    assert len(choir.get("/slots?model=beta").json()) == props["total_slots"]
    assert choir.get("/lora-adapters?model=beta").json() == []
    missing = choir.get("/slots")
    assert missing.status_code == 400 and "model" in missing.json()["error"]["message"]


def test_unknown_model_is_404_with_the_nearest_names(choir):
    reply = choir.chat("alpah")
    if paths.TESTING_PEER:
        assert reply.status_code == 400
        return
    assert reply.status_code == 404
    assert "alpha" in reply.json()["error"]["message"]


def test_no_autoload(start, talkers):
    server = start("--models-dir", talkers, "--no-models-autoload", *NEAR)
    refused = server.chat("alpha")
    assert refused.status_code == 400 and "not loaded" in refused.json()["error"]["message"]
    assert server.status("alpha") == "unloaded"
    assert server.post("/v1/chat/completions?autoload=true", {
        "model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}).status_code == 200
    assert server.chat("alpha").status_code == 200


@pytest.mark.own
def test_no_autoload_serves_what_is_parked(start, talkers):
    server = start("--models-dir", talkers, "--no-models-autoload", *NEAR)
    server.load("alpha")
    assert server.post("/admin/v1/models/alpha/park").status_code == 200
    assert server.status("alpha") == "sleeping"
    Chat(server.stream_chat("alpha")).assert_whole("alpha")


@pytest.mark.own
def test_looking_at_a_model_does_not_load_it(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    for path in ("/metrics", "/props", "/slots"):
        reply = server.get(f"{path}?model=alpha")
        assert reply.status_code == 400 and "not loaded" in reply.json()["error"]["message"]
    assert server.status("alpha") == "unloaded"
    server.load("alpha")
    awake = server.get("/props?model=alpha").json()
    assert server.post("/admin/v1/models/alpha/park").status_code == 200
    assert server.get("/props?model=alpha").json() == {**awake, "is_sleeping": True}
    assert server.status("alpha") == "sleeping"


def test_no_autoload_by_request(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    body = {"model": "beta", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    assert server.post("/v1/chat/completions?autoload=false", body).status_code == 400
    assert server.status("beta") == "unloaded"
    assert server.post("/v1/chat/completions", body).status_code == 200


def test_models_max_makes_room_for_the_newest(start, talkers):
    # Which of the others goes is decided by idle time against the time to come back: planner_test.cpp.
    server = start("--models-dir", talkers, "--models-max", 2, *NEAR)
    for word in ("alpha", "beta", "alpha", "gamma"):
        assert server.chat(word).status_code == 200
    assert server.status("gamma") == "loaded"
    assert sorted(server.status(word) for word in ("alpha", "beta")) == ["loaded", "sleeping"]


def test_events(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    log = EventLog(server, "/models/sse")
    server.load("alpha")

    def about(status):
        return lambda event: event["model"] == "alpha" and event.get("data", {}).get("status") == status

    assert log.wait(about("loading"), "loading")["event"] in ("model_status", "status_change")
    loaded = log.wait(about("loaded"), "loaded")
    assert loaded["data"]["info"]["meta"]["n_vocab"] == len(gguf_files.TOKENS)
    server.unload("alpha")
    assert log.wait(about("unloaded"), "unloaded")["data"]["exit_code"] == 0
    log.close()


def test_reload_finds_new_files_and_forgets_lost_ones(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    gguf_files.make_talker(folder / "gone.gguf", "gamma")
    server = start("--models-dir", folder, *NEAR)
    server.load("alpha")
    log = EventLog(server, "/models/sse")
    gguf_files.make_talker(folder / "beta.gguf", "beta")
    (folder / "gone.gguf").unlink()
    assert "beta" not in server.models()
    assert server.get("/models?reload=1").status_code == 200
    log.wait(lambda event: event["event"] == "models_reload", "the reload")
    log.close()
    assert set(server.models()) == {"alpha", "beta"}
    assert server.status("alpha") == "loaded"  # untouched
    assert set(Chat(server.stream_chat("beta")).assert_whole("beta").text.split()) == {"beta"}


def test_reload_replaces_a_changed_file(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_talker(folder / "same.gguf", "alpha")
    server = start("--models-dir", folder, *NEAR)
    assert "alpha" in Chat(server.stream_chat("same")).text
    gguf_files.make_talker(folder / "new.gguf", "beta")
    (folder / "new.gguf").rename(folder / "same.gguf")
    server.get("/models?reload=1")
    if not paths.TESTING_PEER:  # llama-server looks at options only
        # The name moves when the new file has answered; until then the old one does.
        wait_until(lambda: "beta" in Chat(server.stream_chat("same")).assert_whole("same").text, "the new file")


def test_subfolders_are_models(start, tmp_path):
    folder = tmp_path / "models" / "nested"
    folder.mkdir(parents=True)
    gguf_files.make_talker(folder / "nested.gguf", "alpha")
    server = start("--models-dir", folder.parent, *NEAR)
    assert set(server.models()) == {"nested"}
    assert server.chat("nested").status_code == 200


def test_presets(start, talkers, tmp_path):
    ini = tmp_path / "presets.ini"
    ini.write_text(f"""version = 1
[*]
c = 512
threads = 1

[early]
model = {talkers / "alpha.gguf"}
load-on-startup = true
alias = first,uno
tags = small,test

[late]
model = {talkers / "beta.gguf"}
LLAMA_ARG_CTX_SIZE = 1024
stop-timeout = 7

[again]
model = {talkers / "alpha.gguf"}
ctx-size = 256
""")
    server = start("--models-preset", ini)
    server.wait_status("early", "loaded")
    listed = server.models()
    assert set(listed) >= {"early", "late", "again"}
    assert sorted(listed["early"]["aliases"]) == ["first", "uno"]
    assert sorted(listed["early"]["tags"]) == ["small", "test"]
    assert listed["early"]["source"] == "preset"
    assert listed["late"]["status"]["value"] == "unloaded"
    for name, word, n_ctx in (("uno", "alpha", 512), ("late", "beta", 1024), ("again", "alpha", 256)):
        assert set(Chat(server.stream_chat(name)).assert_whole().text.split()) == {word}
        assert server.get(f"/props?model={name}").json()["default_generation_settings"]["n_ctx"] == n_ctx


def test_command_line_beats_preset(start, talkers, tmp_path):
    ini = tmp_path / "presets.ini"
    ini.write_text(f"[one]\nmodel = {talkers / 'alpha.gguf'}\nctx-size = 256\n")
    server = start("--models-preset", ini, "--threads", 1, "--ctx-size", 768)
    assert server.chat("one").status_code == 200
    assert server.get("/props?model=one").json()["default_generation_settings"]["n_ctx"] == 768


def test_preset_reload(start, talkers, tmp_path):
    ini = tmp_path / "presets.ini"
    section = "[{0}]\nmodel = " + str(talkers / "alpha.gguf") + "\nctx-size = {1}\n"
    ini.write_text(section.format("a", 256) + section.format("b", 256))
    server = start("--models-preset", ini, "--threads", 1)
    server.load("b")
    ini.write_text(section.format("b", 256) + section.format("c", 512))
    assert server.get("/models?reload=1").status_code == 200
    assert {"b", "c"} <= set(server.models()) and "a" not in server.models()
    assert server.status("b") == "loaded"
    ini.write_text(section.format("b", 512) + section.format("c", 512))
    server.get("/models?reload=1")
    # llama-server unloads it; here it changes in place and stays loaded.
    wait_until(lambda: admin.version(server, "b").get("n_ctx") == 512 and server.status("b") == "loaded",
               "the new settings")
    assert server.get("/props?model=b").json()["default_generation_settings"]["n_ctx"] == 512
    assert server.chat("b").status_code == 200


def test_api_key(start, talkers):
    server = start("--models-dir", talkers, "--api-key", "sk-one,sk-two", *NEAR)
    for path in ("/health", "/v1/health"):
        assert server.get(path).status_code == 200
    body = {"model": "alpha", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "wrong"}):
        reply = server.post("/v1/chat/completions", body, headers=headers)
        assert reply.status_code == 401, headers
        assert reply.json()["error"]["type"] == "authentication_error"
    for path in ("/props", "/slots?model=alpha", "/metrics", "/models/sse"):
        assert server.get(path).status_code == 401, path
    assert server.post("/models/load", {"model": "alpha"}).status_code == 401
    for headers in ({"Authorization": "Bearer sk-one"}, {"X-Api-Key": "sk-two"}):
        assert server.post("/v1/chat/completions", body, headers=headers).status_code == 200


def test_api_key_file(start, talkers, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("sk-filed\n")
    server = start("--models-dir", talkers, "--api-key-file", keys, *NEAR)
    assert server.get("/props").status_code == 401
    assert server.get("/props", headers={"Authorization": "Bearer sk-filed"}).status_code == 200


def test_requests_for_a_cold_model_share_one_load(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    log = EventLog(server, "/models/sse")
    many = [Background(lambda: Chat(server.stream_chat("alpha"))) for _ in range(8)]
    for one in many:
        one.result().assert_whole("alpha")
    server.unload("alpha")
    log.wait(lambda event: event.get("data", {}).get("status") == "unloaded", "the end")
    log.close()
    loaded = [event for event in log.events if event.get("data", {}).get("status") == "loaded"]
    assert len(loaded) == 1


def test_a_client_that_leaves_while_queued_costs_nobody_a_place(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--models-max", 1, "--threads", 1, "--ctx-size", 4096)
    busy = server.stream_chat("alpha", max_tokens=800)
    reading = iter(busy)
    next(reading)
    with pytest.raises(requests.exceptions.RequestException):
        server.post("/tokenize", {"model": "beta", "content": "x"}, timeout=0.3)
    rest = [data for _, data in reading]
    assert rest[-1] == "[DONE]"
    assert server.status("alpha") == "loaded"
    assert server.chat("alpha").status_code == 200
    assert server.status("beta") == "unloaded"


def test_two_models_in_one_conversation(start, slow_talkers):
    """Neither ends the other's stream, and what is read again is the newest."""
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 4096)
    for word in ("alpha", "beta"):
        server.load(word)
    conversation = {"X-Conversation-Id": "one"}

    def ask(model, tokens):
        return server.stream("/v1/chat/completions", {
            "model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": tokens, "stream": True,
            "temperature": 0}, headers=conversation)

    first = ask("alpha", 400)
    second = Chat(ask("beta", 5)).assert_whole("beta")
    assert len(Chat(first).assert_whole("alpha").text.split()) == 400
    found = server.post("/v1/streams/lookup", {"conversation_ids": ["one"]}).json()
    assert [stream["conversation_id"] for stream in found] == ["one"]
    again = EventStream(server.get("/v1/stream?conv_id=one", stream=True))
    assert Chat(again).assert_whole("beta").text == second.text
    assert server.request("DELETE", "/v1/stream?conv_id=one").status_code == 204
    assert server.get("/v1/stream?conv_id=one").status_code == 404
