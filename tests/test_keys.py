"""Tenants: their keys, limits, names, usage and conversations, with the real binary and the official clients."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest
import requests

from support import admin, paths
from support.conversations import story
from support.paths import SMOLLM2
from support.process import Chat, EventStream, Server, serve_words, wait_until

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)
ADMIN = "sk-of-the-server"
HELLO = [{"role": "user", "content": "Hello"}]


def make(server: Server, **settings) -> dict:
    """A new key, made by the server's own."""
    reply = requests.post(server.url + "/admin/v1/keys", json=settings, headers=bearer(ADMIN), timeout=60)
    assert reply.status_code == 201, reply.text
    return reply.json()


def bearer(key) -> dict:
    return {"Authorization": f"Bearer {key['key'] if isinstance(key, dict) else key}"}


def ask(server: Server, key, model: str = "alpha", session=requests, **more) -> requests.Response:
    body = {"model": model, "messages": HELLO, "max_tokens": 2, "temperature": 0}
    return session.post(server.url + "/v1/chat/completions", json=body, headers={**bearer(key), **more}, timeout=120)


def cli(*words, server, key=None, status=0):
    environment = {**os.environ, "SWITCHYARD_URL": server.url}
    environment.pop("SWITCHYARD_API_KEY", None)
    if key:
        environment["SWITCHYARD_API_KEY"] = key
    done = subprocess.run([str(paths.SWITCHYARD), *map(str, words)], capture_output=True, text=True, timeout=120,
                          env=environment)
    assert done.returncode == status, done
    return done.stdout


def client_of(server, key, **kwargs) -> openai.OpenAI:
    kwargs.setdefault("max_retries", 0)
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key["key"], timeout=120, **kwargs)


@pytest.fixture
def server(start, talkers):
    return start("--models-dir", talkers, "--api-key", ADMIN, *NEAR, key=ADMIN)


def test_the_life_of_a_key_by_commands(start, talkers):
    """From an open server on: the first key closes it, and the commands need the administrator's from there."""
    server = start("--models-dir", talkers, *NEAR)
    made = json.loads(cli("keys", "create", "--key-alias", "acme", "--models", "alpha,beta", "--rpm-limit", 100,
                          "--tpm-limit", 100000, "--max-parallel-requests", 4, "--duration", "30d",
                          "--aliases", "mine=beta", "--json", server=server))
    assert made["models"] == ["alpha", "beta"] and made["rpm_limit"] == 100 and made["expires"].endswith("Z")
    admin = made["admin_key"]
    assert server.get("/v1/models").status_code == 401 and server.get("/health").status_code == 200
    assert "acme" in cli("keys", "list", server=server, key=admin)
    assert made["key"] not in cli("keys", "list", "--json", server=server, key=admin)
    assert ask(server, made).status_code == 200
    assert ask(server, made, "mine").headers["x-switchyard-version"] == "beta@1"
    cli("keys", "list", server=server, key=made["key"], status=1)
    assert "2.5" in cli("keys", "update", "acme", "--weight", 2.5, "--clear", "rpm_limit", server=server, key=admin)
    changed = json.loads(cli("keys", "list", "--json", server=server, key=admin))["keys"]
    assert [(key["weight"], key["rpm_limit"]) for key in changed if key["key_alias"] == "acme"] == [(2.5, None)]
    cli("keys", "update", "acme", server=server, key=admin, status=1)
    cli("keys", "block", "acme", server=server, key=admin)
    assert ask(server, made).status_code == 403
    cli("keys", "unblock", "acme", server=server, key=admin)
    rotated = json.loads(cli("keys", "rotate", "acme", "--json", server=server, key=admin))
    assert ask(server, made).status_code == 401 and ask(server, rotated).status_code == 200
    usage = json.loads(cli("usage", "--key", "acme", "--json", server=server, key=admin))["usage"]
    assert {row["model"]: row["requests"] for row in usage} == {"alpha": 2, "beta": 1}
    assert "acme" in cli("usage", server=server, key=admin)
    cli("keys", "revoke", "acme", server=server, key=admin)
    assert ask(server, rotated).status_code == 401
    assert "acme" not in cli("keys", "list", server=server, key=admin)
    assert cli("keys", "create", server=server, key=admin).splitlines()[1].startswith("sk-")


def test_everything_survives_a_kill(start, talkers, tmp_path):
    words = ("--models-dir", talkers, "--api-key", ADMIN, "--data-dir", tmp_path / "data", *NEAR)
    server = Server(serve_words(*words), key=ADMIN)
    try:
        kept = make(server, key_alias="kept", models=["alpha", "mine"], aliases={"mine": "beta"}, rpm_limit=50)
        gone = make(server, key_alias="gone")
        assert server.request("DELETE", "/admin/v1/keys/gone").status_code == 200
        assert ask(server, kept).status_code == 200
        wait_until(lambda: server.get("/admin/v1/usage").json()["usage"], "the request to be over")
        usage = server.get("/admin/v1/usage").json()
        assert usage["usage"][0]["requests"] == 1
        before = server.get("/admin/v1/keys").json()
        server.signal(signal.SIGKILL)
        server.wait()
    finally:
        server.kill()
    server = start(*words, key=ADMIN)
    assert server.get("/admin/v1/keys").json() == before
    assert server.get("/admin/v1/usage").json() == usage
    assert ask(server, gone).status_code == 401
    assert ask(server, kept, "mine").headers["x-switchyard-version"] == "beta@1"
    assert ask(server, kept, "gamma").status_code == 403
    # Without its own key the server still asks for one.
    assert server.stop() == 0
    again = start(*[word for word in words if word not in ("--api-key", ADMIN)])
    assert again.get("/v1/models").status_code == 401
    assert ask(again, kept).status_code == 200


def test_revocation_is_felt_by_the_next_request(server):
    key = make(server, key_alias="acme")
    with requests.Session() as session:  # one connection
        assert ask(server, key, session=session).status_code == 200
        assert server.request("DELETE", "/admin/v1/keys/acme").status_code == 200
        assert ask(server, key, session=session).status_code == 401


def test_limits_are_exact_for_32_parallel_clients(server):
    """Twenty get through, and not one more; the others are told when to come again."""
    key = make(server, rpm_limit=20)
    server.load("alpha")
    with ThreadPoolExecutor(32) as clients:
        replies = list(clients.map(lambda _: ask(server, key), range(64)))
    statuses = [reply.status_code for reply in replies]
    assert statuses.count(200) == 20 and statuses.count(429) == 44, statuses
    for reply in replies:
        assert reply.headers["x-ratelimit-limit-requests"] == "20"
        if reply.status_code == 429:
            assert reply.headers["x-ratelimit-remaining-requests"] == "0"
            assert 0 < int(reply.headers["Retry-After"]) <= 60 and int(reply.headers["retry-after-ms"]) > 0
            assert reply.json()["error"]["type"] == "rate_limit_error"
    usage = server.get("/admin/v1/usage").json()["usage"]
    assert usage[0]["requests"] == 20 and usage[0]["generated_tokens"] == 40, "what was refused used nothing"


def test_tokens_are_exact_for_32_parallel_clients(server):
    """What runs may still take is not given twice: within the limit, and nearly all of it."""
    key = make(server, tpm_limit=600)
    server.load("alpha")
    body = {"model": "alpha", "messages": HELLO, "max_tokens": 20, "temperature": 0}
    spent = []

    def come_until_all_is_used(_):
        while True:
            reply = requests.post(server.url + "/v1/chat/completions", json=body, headers=bearer(key), timeout=120)
            if reply.status_code == 200:
                spent.append(reply.json()["usage"]["total_tokens"])
                continue
            assert reply.status_code == 429, reply.text
            if int(reply.headers["Retry-After"]) > 1:
                return

    with ThreadPoolExecutor(32) as clients:
        list(clients.map(come_until_all_is_used, range(32)))
    assert 600 - 100 < sum(spent) <= 600, spent
    usage = server.get("/admin/v1/usage").json()["usage"][0]
    assert usage["prompt_tokens"] + usage["generated_tokens"] == sum(spent)


def test_the_openai_client_waits_and_comes_again(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--api-key", ADMIN, "--threads", 1, "--ctx-size", 4096, key=ADMIN)
    key = make(server, max_parallel_requests=1)
    long = client_of(server, key).chat.completions.create(model="alpha", messages=HELLO, max_tokens=3000, stream=True)
    pieces = iter(long)
    next(pieces)
    with pytest.raises(openai.RateLimitError) as refused:
        client_of(server, key).chat.completions.create(model="alpha", messages=HELLO, max_tokens=1)
    assert refused.value.response.headers["retry-after"] == "1"
    answers = []
    patient = client_of(server, key, max_retries=100)
    seen = len(server.lines)
    waiting = threading.Thread(target=lambda: answers.append(
        patient.chat.completions.create(model="alpha", messages=HELLO, max_tokens=1)))
    waiting.start()
    server.wait_for_line(r"status=429", start=seen)
    long.close()
    waiting.join()
    assert answers[0].choices[0].message.content


def test_the_official_clients_understand_refusals(server):
    key = make(server, models=["alpha"], rpm_limit=1)
    client = client_of(server, key)
    assert [model.id for model in client.models.list()] == ["alpha"]
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="beta", messages=HELLO)
    messages = anthropic.Anthropic(base_url=server.url, api_key=key["key"], max_retries=0, timeout=120).messages
    with pytest.raises(anthropic.PermissionDeniedError):
        messages.create(model="beta", messages=HELLO, max_tokens=1)
    raw = client.chat.completions.with_raw_response.create(model="alpha", messages=HELLO, max_tokens=1)
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(anthropic.RateLimitError):
        messages.create(model="alpha", messages=HELLO, max_tokens=1)
    with pytest.raises(openai.AuthenticationError):
        client_of(server, {"key": "sk-guess"}).models.list()


def test_tokens_are_charged(server):
    key = make(server, tpm_limit=1000)
    reply = ask(server, key)
    used = reply.json()["usage"]["total_tokens"]
    assert reply.headers["x-ratelimit-remaining-tokens"] == str(1000 - used)
    assert reply.headers["x-ratelimit-reset-tokens"] == "1m0s"


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_every_reply_of_a_request_is_charged(start, real_models, isolation):
    """llama.cpp's own counts are those of one. Real models: toys answer all alike."""
    server = start("--models-dir", real_models, "--api-key", ADMIN, "--threads", 1, "--ctx-size", 2048,
                   "--isolation", isolation, key=ADMIN)
    key = make(server, tpm_limit=100000)

    def left():
        reply = server.post("/tokenize", {"model": SMOLLM2, "content": "x"}, headers=bearer(key))
        return int(reply.headers["x-ratelimit-remaining-tokens"])

    def charged(path, **body):
        before = left()
        reply = server.post(path, {"model": SMOLLM2, "ignore_eos": True, **body}, headers=bearer(key))
        assert reply.status_code == 200, reply.text
        return before - left(), reply

    prompt = [1, 2, 3, 4, 5]  # tokens
    spent = charged("/completion", prompt=prompt, n_predict=7)[0]
    assert spent == 5 + 7
    spent, reply = charged("/completion", prompt=[prompt, prompt[:3]], n_predict=7)
    assert len(reply.json()) == 2 and spent == 5 + 3 + 2 * 7
    spent = charged("/v1/completions", prompt=[prompt, prompt[:3]], max_tokens=7)[0]
    assert spent == 5 + 3 + 2 * 7
    chat = {"messages": HELLO, "max_tokens": 6, "n": 3}
    spent, reply = charged("/v1/chat/completions", **chat)
    usage = reply.json()["usage"]
    assert len(reply.json()["choices"]) == 3 and spent == usage["prompt_tokens"] + 3 * 6
    spent = charged("/v1/chat/completions", **chat, stream=True)[0]
    assert spent == usage["prompt_tokens"] + 3 * 6
    spent = charged("/v1/chat/completions", **chat, stream=True, stream_options={"include_usage": True},
                    timings_per_token=True)[0]
    assert spent == usage["prompt_tokens"] + 3 * 6
    assert "x-switchyard-tokens" not in reply.headers
    before = left()
    assert server.post("/completion", {"model": SMOLLM2, "prompt": [1] * 3000}, headers=bearer(key)).status_code == 400
    assert left() == before, "what does not fit into the context has cost nothing"


def test_a_reply_that_its_client_leaves_is_charged_its_prompt(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--api-key", ADMIN, "--threads", 1, "--parallel", 1, key=ADMIN)
    key = make(server, key_alias="leaver", tpm_limit=100000)
    body = {"model": "alpha", "prompt": [1] * 100, "n_predict": 4000, "ignore_eos": True}

    def prompts():
        return sum(row["prompt_tokens"] for row in server.get("/admin/v1/usage").json()["usage"]
                   if row["key_alias"] == "leaver")

    assert server.chat("alpha", max_tokens=1).status_code == 200
    for stream in (False, True):
        before = prompts()
        with contextlib.suppress(requests.RequestException):
            reply = server.post("/completion", {**body, "stream": stream}, headers=bearer(key), stream=True, timeout=1)
            next(reply.iter_content(64))
            reply.close()
        wait_until(lambda before=before: prompts() == before + 100, f"its prompt to be counted, stream {stream}")


def test_a_stream_is_charged_when_it_has_ended(server):
    key = make(server, tpm_limit=1000, max_parallel_requests=1)
    client = client_of(server, key)
    for _ in range(5):  # never its own limit of one
        stream = client.chat.completions.create(model="alpha", messages=HELLO, max_tokens=3, stream=True,
                                                stream_options={"include_usage": True})
        used = [chunk.usage for chunk in stream if chunk.usage][-1].total_tokens
    raw = client.chat.completions.with_raw_response.create(model="alpha", messages=HELLO, max_tokens=3)
    left = int(raw.headers["x-ratelimit-remaining-tokens"])
    assert left == 1000 - 6 * used


def test_conversations_are_private(start, slow_talkers):
    """Two keys in a conversation of one name: each reads, finds and stops its own stream only."""
    server = start("--models-dir", slow_talkers, "--api-key", ADMIN, "--threads", 1, "--ctx-size", 4096, key=ADMIN)
    acme, other = make(server, key_alias="acme"), make(server)

    def talk(key, tokens):
        body = {"model": "alpha", "messages": HELLO, "max_tokens": tokens, "stream": True, "temperature": 0}
        reply = requests.post(server.url + "/v1/chat/completions", json=body, stream=True, timeout=120,
                              headers={**bearer(key), "X-Conversation-Id": "one"})
        return Chat(EventStream(reply)).assert_whole("alpha")

    def read(key):
        return requests.get(server.url + "/v1/stream?conv_id=one", headers=bearer(key), stream=True, timeout=120)

    def find(key):
        return requests.post(server.url + "/v1/streams/lookup", json={"conversation_ids": ["one"]},
                             headers=bearer(key), timeout=60).json()

    first = talk(acme, 5)
    assert find(other) == [] and read(other).status_code == 404
    second = talk(other, 7)
    assert [stream["conversation_id"] for stream in find(acme)] == ["one"]
    assert Chat(EventStream(read(acme))).assert_whole("alpha").text == first.text
    assert Chat(EventStream(read(other))).assert_whole("alpha").text == second.text
    assert requests.delete(server.url + "/v1/stream?conv_id=one", headers=bearer(other), timeout=60).status_code == 204
    assert read(other).status_code == 404 and find(other) == []
    assert Chat(EventStream(read(acme))).assert_whole("alpha").text == first.text
    rotated = server.post("/admin/v1/keys/acme/rotate").json()
    assert read(rotated).status_code == 200 and read(acme).status_code == 401


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_no_key_is_told_what_another_has_asked(start, real_models, tmp_path, isolation):
    """The same prompt of two keys: each is evaluated for its key, is there again for it alone, and so after a park
    and a restart. With `conversations.shared` once is enough."""
    config = tmp_path / "switchyard.yaml"
    text = f"server: {{models_dir: {real_models}}}\nconversations: {{shared: SHARED}}\n"
    config.write_text(text.replace("SHARED", "false"))
    words = ("--config", config, "--data-dir", tmp_path / "kept", "--api-key", ADMIN, "--isolation", isolation,
             "--threads", 2, "--ctx-size", 4096)
    server = start(*words, key=ADMIN)
    acme, other = make(server, key_alias="acme"), make(server)
    said = [{"role": "user", "content": story("miller", 20)}]

    def cached(key):
        body = {"model": SMOLLM2, "messages": said, "max_tokens": 2, "temperature": 0}
        reply = requests.post(server.url + "/v1/chat/completions", json=body, headers=bearer(key), timeout=300)
        assert reply.status_code == 200, reply.text
        usage = reply.json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]

    assert cached(acme) == 0 and cached(other) == 0
    assert cached(ADMIN) == 0, "the server's own key has prompts of its own, too"
    assert cached(acme) > 0.95 and cached(other) > 0.95
    admin.act(server, SMOLLM2, "park")
    assert cached(other) > 0.95 and cached(make(server)) == 0
    rotated = server.post("/admin/v1/keys/acme/rotate").json()
    assert server.stop() == 0
    server = start(*words, key=ADMIN)
    assert cached(make(server)) == 0 and cached(rotated) > 0.95
    config.write_text(text.replace("SHARED", "true"))
    assert "conversations.shared" in server.post("/admin/v1/config/reload").text
    first, second = make(server), make(server)
    said[0]["content"] = story("sailor", 20)
    assert cached(first) < 0.5 and cached(second) > 0.95


def test_an_expired_key_is_refused(server):
    key = make(server, duration="500ms")
    wait_until(lambda: "has expired" in ask(server, key).text, "it to expire")
    assert ask(server, key).status_code == 401


def test_the_admin_key_file(start, talkers, tmp_path):
    """Made once, for its owner only, told by its path and never by its content; it opens a public address."""
    file = tmp_path / "admin.key"
    words = ("--models-dir", talkers, "--host", "0.0.0.0", "--admin-key-file", file, *NEAR)
    server = start(*words)
    secret = file.read_text().strip()
    assert secret.startswith("sk-") and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in server.log and secret not in server.log
    url = f"http://127.0.0.1:{server.port}"
    assert requests.get(url + "/v1/models", timeout=60).status_code == 401
    made = requests.post(url + "/admin/v1/keys", json={}, headers=bearer(secret), timeout=60)
    assert made.status_code == 201 and "admin_key" not in made.json()
    assert server.stop() == 0
    again = start(*words)
    assert file.read_text().strip() == secret
    assert requests.get(f"http://127.0.0.1:{again.port}/admin/v1/keys", headers=bearer(secret),
                        timeout=60).status_code == 200


def test_a_reload_without_the_admin_key_file_opens_nothing(start, talkers, tmp_path):
    file, config = tmp_path / "admin.key", tmp_path / "c.yaml"
    config.write_text(f"server: {{models_dir: {talkers}, admin_key_file: {file}}}\n")
    server = start("--config", config, *NEAR)
    admin = bearer(file.read_text().strip())
    file.unlink()

    def reload(key):
        return requests.post(server.url + "/admin/v1/config/reload", headers=key, timeout=60)

    assert reload(admin).status_code == 200
    assert server.get("/v1/models").status_code == 401 and reload(admin).status_code == 200
    file.write_text("sk-another\n")
    assert "admin_key_file" in reload(admin).json()["settings"]
    assert reload(admin).status_code == 401 and reload(bearer("sk-another")).status_code == 200


def test_a_public_address_wants_a_key(start, talkers, tmp_path):
    """Tenants' keys in the data folder count as well."""
    words = ("--models-dir", talkers, "--data-dir", tmp_path / "data", *NEAR)
    public = [*serve_words(*words), "--host", "0.0.0.0"]
    refused = subprocess.run(list(map(str, public)), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "--admin-key-file" in refused.stderr
    server = start(*words)
    key = server.post("/admin/v1/keys", {"key_alias": "acme"}).json()
    assert server.stop() == 0
    server = start(*words, "--host", "0.0.0.0")
    reply = requests.get(f"http://127.0.0.1:{server.port}/v1/models", headers=bearer(key), timeout=60)
    assert reply.status_code == 200


def test_keys_that_cannot_be_read_let_nobody_in(start, talkers, tmp_path):
    """A second server on the same data folder, and one whose database is damaged: closed, and saying so."""
    data = tmp_path / "data"
    words = ("--models-dir", talkers, "--data-dir", data, *NEAR)
    first = start(*words)
    made = first.post("/admin/v1/keys", {"key_alias": "acme"}).json()
    wait_until((data / "keys-were-made").exists, "the mark")
    second = start(*words)
    assert second.get("/v1/models").status_code == 401
    second.wait_for_line("keys were made here and cannot be read")
    assert first.stop() == 0 and second.stop() == 0
    for file in data.glob("state.sqlite*"):
        file.unlink()
    (data / "state.sqlite").write_bytes(b"nonsense" * 1000)
    third = start(*words, "--admin-key-file", tmp_path / "admin.key")
    assert third.get("/v1/models").status_code == 401 and ask(third, made).status_code == 401
    admin = bearer((tmp_path / "admin.key").read_text().strip())
    assert requests.post(third.url + "/admin/v1/keys", json={}, headers=admin, timeout=60).status_code == 201


def test_an_admin_key_file_that_cannot_be_made(talkers, tmp_path):
    words = serve_words("--models-dir", talkers, "--admin-key-file", tmp_path / "none" / "key")
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "cannot be made" in done.stderr


def test_the_log_names_the_tenant(server):
    key = make(server, key_alias="acme")
    seen = len(server.lines)
    assert ask(server, key).status_code == 200
    assert "tenant=acme" in server.wait_for_line(r".*path=/v1/chat/completions.*", start=seen).group(0)
    assert key["key"] not in server.log and ADMIN not in server.log
