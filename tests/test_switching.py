"""The promise: models change places while requests run, and no reply is dropped, cut or mixed."""

import signal
import threading
import time

import pytest
import requests

from support import admin, gguf_files, paths
from support.paths import GEMMA, SMOLLM2
from support.process import Background, Chat, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 2048)
ROOM_FOR_ONE = ("--models-max", 1, *NEAR)


def config(tmp_path, text):
    file = tmp_path / "switchyard.yaml"
    file.write_text(text)
    return file


def talk(server, model, tokens=20):
    return Chat(server.stream_chat(model, max_tokens=tokens))


def speaks_only(chat: Chat, word: str, tokens: int):
    chat.assert_whole()
    assert chat.text.split() == [word] * tokens


def test_a_cold_model_is_waited_for(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    speaks_only(talk(server, "alpha"), "alpha", 20)
    assert server.chat("beta").json()["choices"][0]["message"]["content"].split() == ["beta"] * 8


def test_one_load_for_many_waiters(start, talkers):
    server = start("--models-dir", talkers, *NEAR)
    log = admin.events(server)
    for one in [Background(talk, server, "alpha") for _ in range(12)]:
        speaks_only(one.result(), "alpha", 20)
    server.chat("beta")
    log.wait(admin.reached("beta", "hot"), "beta")
    log.close()
    assert len([event for event in log.events if admin.reached("alpha", "loading")(event)]) == 1


def test_sixteen_streams_over_two_models_in_one_place(start, talkers):
    server = start("--models-dir", talkers, *ROOM_FOR_ONE)
    streams = [(word, Background(talk, server, word, 60)) for word in ["alpha", "beta"] * 8]
    for word, stream in streams:
        speaks_only(stream.result().assert_whole(word), word, 60)


def test_sixteen_streams_over_the_real_models(start, real_models):
    server = start("--models-dir", real_models, *ROOM_FOR_ONE)
    streams = [(model, Background(talk, server, model, 6)) for model in [SMOLLM2, GEMMA] * 8]
    for model, stream in streams:
        stream.result().assert_whole(model)


def test_nobody_starves(start, slow_talkers, tmp_path):
    """Three clients keep alpha busy without a pause; one request for beta is answered while they go on."""
    server = start("--models-dir", slow_talkers, "--config", config(tmp_path, "limits: {models_max: 1, max_wait: 1s}\n"),
                   "--threads", 1, "--ctx-size", 4096, "--parallel", 4)
    stop, begun, whole = threading.Event(), threading.Barrier(4), []

    def keep_busy():
        first = True
        while not stop.is_set():
            chat = Chat(server.stream_chat("alpha", max_tokens=200))
            chat.assert_whole("alpha")
            assert chat.text.split() == ["alpha"] * 200
            whole.append(time.monotonic())
            if first:
                begun.wait(60)
            first = False

    clients = [Background(keep_busy) for _ in range(3)]
    begun.wait(60)
    asked = time.monotonic()
    chat = talk(server, "beta")
    answered = time.monotonic()
    went_on = [client.running for client in clients]
    wait_until(lambda: any(when > answered for when in whole) or not any(c.running for c in clients),
               "alpha's clients to go on")
    stop.set()
    for client in clients:
        client.result()
    speaks_only(chat, "beta", 20)
    assert all(went_on), "alpha's clients should have been kept busy all the time"
    assert answered - asked < 1 + 20, "max_wait, the running replies and the switch"


def test_unload_drains(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 4096)
    stream = server.stream_chat("alpha", max_tokens=600)
    reading = iter(stream)
    next(reading)
    assert server.post("/models/unload", {"model": "alpha"}).json() == {"success": True}
    rest = [data for _, data in reading]
    assert rest[-1] == "[DONE]" and rest[-2]["choices"][0]["finish_reason"] == "length"
    server.wait_status("alpha", "unloaded")


def test_unload_has_a_bound(start, slow_talkers, tmp_path):
    """What is longer than the bound ends with an error that the client sees."""
    server = start("--config", config(tmp_path, f"""
defaults: {{args: {{threads: 1, ctx-size: 8192}}}}
models:
  - {{id: alpha, file: {slow_talkers / 'alpha.gguf'}, drain_timeout: 200ms}}
"""))
    stream = server.stream_chat("alpha", max_tokens=8000, ignore_eos=True)
    reading = iter(stream)
    next(reading)
    server.post("/models/unload", {"model": "alpha"})
    rest = list(reading)
    assert ("error" in rest[-1][1] or "error" in rest[-2][1]) and rest[-1][1] != "[DONE]"
    server.wait_status("alpha", "unloaded")


def test_a_waiter_that_leaves_does_not_stop_the_load(start, real_models):
    server = start("--models-dir", real_models, *NEAR)
    log = admin.events(server)
    leaver = Background(server.post, "/tokenize", {"model": GEMMA, "content": "x"}, timeout=0.1)
    stayer = Background(talk, server, GEMMA, 2)
    with pytest.raises(requests.exceptions.RequestException):
        leaver.result()
    stayer.result().assert_whole(GEMMA)
    log.close()
    assert [event["to"] for event in log.events if event["type"] == "state" and event["model"] == GEMMA] == [
        "loading", "warming", "hot"]


@pytest.mark.plain("what it keeps of freed memory is in the count")
def test_park_and_resume(start, real_models):
    server = start("--models-dir", real_models, *NEAR)
    asked = {"max_tokens": 6, "cache_prompt": False}
    before = server.chat(GEMMA, **asked).json()["choices"]
    hot = server.pss()
    assert admin.act(server, GEMMA, "park")["state"] == "parked"
    assert server.status(GEMMA) == "sleeping"
    assert server.pss() < hot - 100e6, "parked weights should be given back to the page cache"
    assert server.chat(GEMMA, **asked).json()["choices"] == before
    assert admin.state(server, GEMMA) == "hot"
    admin.act(server, GEMMA, "park")
    assert admin.act(server, GEMMA, "resume")["state"] == "hot"
    admin.act(server, GEMMA, "unload")
    assert server.post(f"/admin/v1/models/{GEMMA}/resume").status_code == 409
    assert server.post(f"/admin/v1/models/{GEMMA}/park").status_code == 409


def test_park_waits_for_the_running(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 4096)
    stream = server.stream_chat("alpha", max_tokens=400)
    reading = iter(stream)
    next(reading)
    parking = Background(admin.act, server, "alpha", "park")
    assert [data for _, data in reading][-1] == "[DONE]"
    assert parking.result()["state"] == "parked"


def test_idle_models_park_and_unload(start, talkers, tmp_path):
    server = start("--config", config(tmp_path, f"""
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}, park_after: 300ms, unload_after: 900ms, args: {{threads: 1}}}}
  - {{id: beta, file: {talkers / 'beta.gguf'}, park_after: 300ms, pin: true, args: {{threads: 1}}}}
"""))
    log = admin.events(server)
    assert server.chat("alpha").status_code == 200
    assert server.chat("beta").status_code == 200
    log.wait(admin.reached("alpha", "parked"), "alpha parked")
    log.wait(admin.reached("alpha", "cold"), "alpha cold")
    log.close()
    assert admin.state(server, "beta") == "hot"


def test_pinned_models_stay(start, talkers):
    server = start("--models-dir", talkers, *ROOM_FOR_ONE)
    admin.act(server, "alpha", "load")
    assert admin.act(server, "alpha", "pin")["pinned"] is True
    refused = server.chat("beta")
    assert refused.status_code in (503, 507), refused.text
    assert "alpha" in refused.text or "pinned" in refused.text
    assert admin.state(server, "alpha") == "hot"
    admin.act(server, "alpha", "unpin")
    assert server.chat("beta").status_code == 200


def test_what_does_not_fit_is_refused_before_anything_is_evicted(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    gguf_files.make_random(folder / "big.gguf", embd=1024, ff=4096, layers=16, heads=16, kv_heads=4)
    server = start("--models-dir", folder, "--memory-budget", "100MiB", "--cache-ram", 0, *NEAR)
    assert server.chat("alpha").status_code == 200
    before = server.rss()
    refused = server.chat("big")
    assert refused.status_code == 507, refused.text
    message = refused.json()["error"]["message"]
    assert "big" in message and "need" in message and "free" in message and "evict" in message, message
    assert admin.state(server, "alpha") == "hot"
    assert server.rss() < before + 20e6
    speaks_only(talk(server, "alpha"), "alpha", 20)


def test_memory_budget_evicts(start, talkers):
    """Room by bytes, not by number: what two models need together does not fit."""
    server = start("--models-dir", talkers, "--cache-ram", 0, *NEAR)
    assert server.chat("alpha").status_code == 200
    need = admin.version(server, "alpha")["predicted_bytes"][0]["total"]
    second = start("--models-dir", talkers, "--memory-budget", str(int(need * 1.5)), "--cache-ram", 0, *NEAR)
    for word in ("alpha", "beta", "gamma", "alpha"):
        speaks_only(talk(second, word), word, 20)
    assert sum(admin.state(second, word) == "hot" for word in ("alpha", "beta", "gamma")) == 1


def test_sigterm_finishes_what_runs(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 4096)
    stream = server.stream_chat("alpha", max_tokens=800)
    reading = iter(stream)
    next(reading)
    server.signal(signal.SIGTERM)
    assert [data for _, data in reading][-1] == "[DONE]"
    assert server.wait() == 0


def _held_behind(server, tokens):
    """A stream of alpha, and a chat with beta that waits for its room."""
    stream = server.stream_chat("alpha", max_tokens=tokens, ignore_eos=True)
    reading = iter(stream)
    next(reading)
    held = Background(server.chat, "beta")
    wait_until(lambda: admin.version(server, "beta")["waiting"] == 1, "beta to be waited for")
    return reading, held


def test_sigterm_finishes_what_is_held(start, slow_talkers, tmp_path):
    """A request that waits for a cold model's room, inspection and load is answered before the end."""
    polite = config(tmp_path, "limits: {models_max: 1, max_wait: 10m}\n")
    server = start("--models-dir", slow_talkers, "--config", polite, "--threads", 1, "--ctx-size", 4096)
    reading, held = _held_behind(server, 800)
    server.signal(signal.SIGTERM)
    wait_until(lambda: _refuses(server), "the server to be no longer ready")
    assert [data for _, data in reading][-1] == "[DONE]"
    reply = held.result()
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"].split() == ["beta"] * 8
    assert server.wait() == 0


def test_sigterm_refuses_what_is_held_when_its_time_is_over(start, slow_talkers, tmp_path):
    polite = config(tmp_path, "limits: {models_max: 1, max_wait: 10m}\n")
    server = start("--models-dir", slow_talkers, "--config", polite, "--threads", 1, "--ctx-size", 8192,
                   "--shutdown-timeout", "1s")
    reading, held = _held_behind(server, 8000)
    server.signal(signal.SIGTERM)
    assert held.result().status_code == 503
    assert "shutting down" in str([data for _, data in reading][-1])
    assert server.wait() == 0


def test_second_sigterm_ends_at_once(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--threads", 1, "--ctx-size", 8192)
    stream = server.stream_chat("alpha", max_tokens=8000, ignore_eos=True)
    next(iter(stream))
    server.signal(signal.SIGTERM)
    wait_until(lambda: _refuses(server), "the server to be no longer ready")
    server.signal(signal.SIGTERM)
    server.wait(5)
    stream.close()


def _refuses(server):
    try:
        return requests.get(server.url + "/ready", timeout=5).status_code == 503
    except requests.ConnectionError:
        return True


CONFIG = """
defaults: {{args: {{threads: 1, ctx-size: 1024}}}}
models:
  - {{id: alpha, file: {folder}/alpha.gguf}}
  - {{id: beta, file: {folder}/beta.gguf, args: {{ctx-size: {beta_ctx}}}}}
{more}
"""


def test_config_reload_touches_only_what_changed(start, talkers, tmp_path):
    file = config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=512, more=""))
    server = start("--config", file)
    for word in ("alpha", "beta"):
        assert server.chat(word).status_code == 200
    log = admin.events(server)
    config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=768,
                                   more=f"  - {{id: gamma, file: {talkers}/gamma.gguf}}\n"))
    assert server.post("/admin/v1/config/reload").status_code == 200
    speaks_only(talk(server, "gamma"), "gamma", 20)
    assert server.chat("beta").status_code == 200
    assert server.get("/props?model=beta").json()["default_generation_settings"]["n_ctx"] == 768
    assert admin.state(server, "alpha") == "hot"
    log.wait(admin.reached("gamma", "hot"), "gamma")
    log.close()
    assert not [event for event in log.events if event["model"] == "alpha" and event["type"] == "state"]


def test_invalid_config_changes_nothing(start, talkers, tmp_path):
    file = config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=512, more=""))
    server = start("--config", file)
    assert server.chat("alpha").status_code == 200
    config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=512, more="lmits: {models_max: 2}\n"))
    refused = server.post("/admin/v1/config/reload")
    assert refused.status_code == 400
    assert "switchyard.yaml:" in refused.text and "limits" in refused.text
    logged = len(server.lines)
    server.signal(signal.SIGHUP)
    server.wait_for_line("lmits", start=logged)
    assert admin.state(server, "alpha") == "hot" and set(server.models()) == {"alpha", "beta"}


def test_reload_changes_keys_and_the_default_model(start, talkers, tmp_path):
    text = "server: {{default_model: {}, api_keys: [{}], max_body: {}}}\n" + CONFIG

    def write(model, key, max_body):
        config(tmp_path, text.format(model, key, max_body, folder=talkers, beta_ctx=512, more=""))

    def ask(key):
        return server.post("/v1/completions", {"prompt": "x", "max_tokens": 1},
                           headers={"Authorization": f"Bearer {key}"})

    def reload(key):
        return server.post("/admin/v1/config/reload", headers={"Authorization": f"Bearer {key}"}).json()

    write("alpha", "old", "1MiB")
    server = start("--config", str(tmp_path / "switchyard.yaml"), key="old")
    assert ask("old").headers["x-switchyard-version"] == "alpha@1"
    write("beta", "new", "1MiB")
    assert reload("old")["settings"] == ["default_model", "api_keys"]
    assert ask("old").status_code == 401
    assert ask("new").headers["x-switchyard-version"] == "beta@1"
    write("beta", "new", "2MiB")
    assert reload("new")["needs_restart"] == ["max_body"]


def test_watch_reloads_what_has_changed(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    file = config(tmp_path, f"server: {{models_dir: {folder}, watch: 50ms}}\n")
    server = start("--config", file, "-c", 512, "--threads", 1)
    assert server.chat("alpha").status_code == 200
    gguf_files.make_talker(folder / "beta.gguf", "beta")
    wait_until(lambda: "beta" in server.models(), "the new file")
    gguf_files.make_talker(tmp_path / "gamma.gguf", "gamma")
    (tmp_path / "gamma.gguf").rename(folder / "alpha.gguf")
    wait_until(lambda: "gamma" in server.chat("alpha").text, "the replaced file")
    config(tmp_path, f"server: {{models_dir: {folder}, watch: 50ms, api_keys: [sk]}}\n")
    wait_until(lambda: server.chat("alpha").status_code == 401, "the key")


def test_sighup_reloads(start, talkers, tmp_path):
    file = config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=512, more=""))
    server = start("--config", file)
    config(tmp_path, CONFIG.format(folder=talkers, beta_ctx=512,
                                   more=f"  - {{id: gamma, file: {talkers}/gamma.gguf}}\n"))
    server.signal(signal.SIGHUP)
    wait_until(lambda: "gamma" in server.models(), "the new model")
    speaks_only(talk(server, "gamma"), "gamma", 20)


def test_alias_switch_under_load(start, talkers, tmp_path):
    """Every reply during a switch comes whole from one version; after it, from the new one."""
    server = start("--config", config(tmp_path, f"""
defaults: {{args: {{threads: 1, ctx-size: 1024}}}}
models:
  - id: talker
    versions:
      - {{version: "1", file: {talkers / 'alpha.gguf'}}}
      - {{version: "2", file: {talkers / 'beta.gguf'}}}
aliases:
  - {{name: chat, to: talker@1}}
"""))
    speaks_only(talk(server, "chat"), "alpha", 20)
    stop = threading.Event()
    texts = []

    def ask():
        while not stop.is_set():
            texts.append(talk(server, "chat").assert_whole().text)

    clients = [Background(ask) for _ in range(3)]
    reply = server.post("/admin/v1/aliases/chat/switch", {"to": "talker@2"})
    assert reply.status_code == 200, reply.text
    speaks_only(talk(server, "chat"), "beta", 20)
    stop.set()
    for client in clients:
        client.result()
    assert all(len(set(text.split())) == 1 for text in texts)
    assert server.post("/admin/v1/aliases/chat/switch", {"to": "talker@3"}).status_code == 404
    assert server.post("/admin/v1/aliases/caht/switch", {"to": "talker@1"}).status_code == 404
    speaks_only(talk(server, "chat"), "beta", 20)
    speaks_only(talk(server, "talker@1"), "alpha", 20)


def test_lora_of_one_preset_leaves_the_other_alone(start, talkers, tmp_path):
    """Two models of one file share its weights, and not the adapter of one."""
    adapter = gguf_files.make_lora(tmp_path / "lora.gguf", "gamma")
    server = start("--config", config(tmp_path, f"""
defaults: {{args: {{threads: 1, ctx-size: 1024}}}}
models:
  - {{id: plain, file: {talkers / 'alpha.gguf'}}}
  - {{id: tuned, file: {talkers / 'alpha.gguf'}, args: {{lora: {adapter}}}}}
"""))
    for _ in range(2):
        speaks_only(talk(server, "plain"), "alpha", 20)
        speaks_only(talk(server, "tuned"), "gamma", 20)


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_scales_of_adapters_stay_as_they_were_set(start, talkers, tmp_path, isolation):
    """Over parked and back, and over another context size; not with other adapters."""
    adapter = gguf_files.make_lora(tmp_path / "lora.gguf", "gamma")

    def write(more):
        return config(tmp_path, f"""
defaults: {{isolation: {isolation}, args: {{threads: 1}}}}
models: [{{id: tuned, file: {talkers / 'alpha.gguf'}, args: {{{more}}}}}]
""")

    server = start("--config", write(f"lora: {adapter}, ctx-size: 1024"))
    speaks_only(talk(server, "tuned"), "gamma", 20)
    assert server.post("/lora-adapters?model=tuned", [{"id": 0, "scale": 0.0}]).status_code == 200
    speaks_only(talk(server, "tuned"), "alpha", 20)
    admin.act(server, "tuned", "park")
    speaks_only(talk(server, "tuned"), "alpha", 20)
    assert server.get("/lora-adapters?model=tuned").json()[0]["scale"] == 0.0
    write(f"lora: {adapter}, ctx-size: 512")
    assert server.post("/admin/v1/config/reload").status_code == 200
    speaks_only(talk(server, "tuned"), "alpha", 20)
    write(f"lora-scaled: '{adapter}:1.0', ctx-size: 512")
    assert server.post("/admin/v1/config/reload").status_code == 200
    speaks_only(talk(server, "tuned"), "gamma", 20)


def test_prompts_are_written_where_llama_server_writes_them(start, talkers, tmp_path):
    server = start("-m", talkers / "alpha.gguf", *NEAR, "--log-prompts-dir", tmp_path / "prompts")
    assert server.chat(None, "the words").status_code == 200
    assert any("the words" in file.read_text() for file in (tmp_path / "prompts").iterdir())


def test_single_model_mode(start, talkers):
    server = start("-m", talkers / "alpha.gguf", *NEAR)
    assert Chat(server.stream_chat(None)).assert_whole().text.split() == ["alpha"] * 8
    assert "total_slots" in server.get("/props").json()
    assert len(server.get("/slots").json()) == server.get("/props").json()["total_slots"]


def test_default_model(start, talkers, tmp_path):
    server = start("--models-dir", talkers, "--config", config(tmp_path, "server: {default_model: beta}\n"), *NEAR)
    assert Chat(server.stream_chat(None)).assert_whole("beta").text.split() == ["beta"] * 8


@pytest.mark.full
def test_an_hour_of_switching_in_a_minute(start, talkers):
    """Random requests over three models with room for one, and commands in between."""
    import random
    dice = random.Random(7)
    server = start("--models-dir", talkers, *ROOM_FOR_ONE)
    end = time.monotonic() + 60
    count = [0]

    def client(seed):
        mine = random.Random(seed)
        while time.monotonic() < end:
            word = mine.choice(["alpha", "beta", "gamma"])
            tokens = mine.choice([1, 5, 50])
            speaks_only(talk(server, word, tokens), word, tokens)
            count[0] += 1

    clients = [Background(client, seed) for seed in range(8)]
    while time.monotonic() < end:
        word = dice.choice(["alpha", "beta", "gamma"])
        server.post(f"/admin/v1/models/{word}/{dice.choice(['load', 'park'])}", {"wait": False})
        time.sleep(dice.random() / 5)
    for one in clients:
        one.result()
    assert count[0] > 50
    assert server.threads() < 200
