"""Broken files and broken requests: a typed error that names the fault, and nothing else changes."""

import os
import resource
import shutil
import subprocess
import time

import pytest

from support import admin, gguf_files, paths
from support.process import Background, Chat

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)

#: fault -> words of which one is in the error.
FAULTS = {
    "truncated": ["truncated", "end", "incomplete", "bounds"],
    "truncated-header": ["truncated", "end"],
    "corrupted-header": ["corrupt", "length", "end", "header"],
    "empty": ["empty", "magic", "not a GGUF", "end"],
    "not-gguf": ["not a GGUF", "magic"],
    "unknown-architecture": ["frobnicator"],
    "same-token-twice": ["vocab", "token", "assert", "abort", "id_to_token"],
    "offset-past-end": ["offset", "end"],
    "huge-string": ["length", "1152921504606846976", "end"],
    "huge-array": ["length", "1152921504606846976", "corrupt"],
    "huge-tensor-count": ["tensor", "1152921504606846976"],
    "many-keys": ["150001 metadata keys"],
    "template-without-end": ["chat template"],
    "template-calls-itself": ["chat template"],
    "template-wrong": ["chat template"],
    "negative-epsilon": ["eps", "first time"],
    "tensor-type": ["first time"],
    "huge-kv-count": ["1152921504606846976", "metadata", "key"],
    "missing": ["no such file", "not found", "does not exist", "missing"],
}
#: Two seconds are promised. What is bounded here is the work, in processor time, which a busy machine does not change
#: as it does the time on the clock; over HTTP, where others work in the same process, that it does not hang.
WORK_S = 60 if paths.SANITIZED else 2
HANGS_S = 60 if paths.SANITIZED else 20
#: How long a template without an end takes is bounded by the work that it does.
SLOW = "template-without-end"
ALL = [pytest.param(fault, marks=pytest.mark.plain("its work takes minutes")) if fault == SLOW else fault
       for fault in FAULTS]


@pytest.fixture(scope="module")
def server(require_binary, tmp_path_factory):
    from conftest import _session_server
    folder = tmp_path_factory.mktemp("broken")
    good = gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    for fault in gguf_files.BROKEN:
        if fault != "missing":
            gguf_files.make_broken(folder, fault, good)
    gguf_files.make_talker(folder / "missing.gguf", "beta")
    server = _session_server(tmp_path_factory, "--models-dir", folder, *NEAR)
    (folder / "missing.gguf").unlink()
    assert server.chat("alpha").status_code == 200
    yield server
    assert server.stop() == 0


def test_every_fault_is_in_the_table():
    assert set(FAULTS) == set(gguf_files.BROKEN)


@pytest.mark.parametrize("fault", ALL)
def test_broken_file_in_http(server, fault):
    logged = len(server.lines)
    began = time.monotonic()
    reply = server.chat(fault)
    took = time.monotonic() - began
    error = reply.json()["error"]
    assert reply.status_code == (404 if fault == "missing" else 422), reply.text
    assert fault + ".gguf" in error["message"], error
    assert any(word.lower() in error["message"].lower() for word in FAULTS[fault]), error
    assert took < HANGS_S
    server.wait_for_line(fault + r"\.gguf", 10, start=logged)
    assert server.models()[fault]["status"] | {"value": "unloaded", "failed": True} == server.models()[fault]["status"]
    assert admin.version(server, fault)["error"]["message"]
    assert admin.state(server, "alpha") == "hot"
    assert Chat(server.stream_chat("alpha")).assert_whole("alpha").text.split() == ["alpha"] * 8


@pytest.mark.parametrize("fault", ALL)
def test_broken_file_in_the_command_line(fault, tmp_path, require_binary):
    good = gguf_files.make_talker(tmp_path / "good.gguf", "alpha")
    file = gguf_files.make_broken(tmp_path, fault, good)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([paths.SWITCHYARD, "inspect", str(file)], capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < WORK_S
    assert done.returncode == 1, done
    assert fault + ".gguf" in done.stderr
    assert any(word.lower() in done.stderr.lower() for word in FAULTS[fault]), done.stderr


def test_a_load_command_gets_the_error(server):
    reply = server.post("/models/load", {"model": "truncated", "wait": True})
    assert reply.status_code == 422 and "truncated.gguf" in reply.text
    reply = server.post("/admin/v1/models/not-gguf/load")
    assert reply.status_code == 422 and "not-gguf.gguf" in reply.text


def test_all_waiters_get_the_loads_error(server):
    for reply in [waiter.result() for waiter in [Background(server.chat, "truncated") for _ in range(6)]]:
        assert reply.status_code == 422 and "truncated.gguf" in reply.text


def test_a_stream_gets_the_error_as_a_reply(server):
    chat = Chat(server.stream_chat("truncated"))
    assert chat.status == 422 and "truncated.gguf" in chat.error


@pytest.mark.parametrize("fault", ["truncated", "negative-epsilon",
                                   pytest.param(SLOW, marks=pytest.mark.plain("its work takes minutes"))])
def test_a_broken_file_evicts_nobody(start, tmp_path, fault):
    folder = tmp_path / "models"
    folder.mkdir()
    good = gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    gguf_files.make_broken(folder, fault, good)
    server = start("--models-dir", folder, "--models-max", 1, *NEAR)
    assert server.chat("alpha").status_code == 200
    log = admin.events(server)
    assert server.chat(fault).status_code == 422
    log.close()
    assert admin.state(server, "alpha") == "hot"
    assert not [event for event in log.events if event["type"] == "state" and event["model"] == "alpha"]


def test_a_name_that_is_not_utf8_harms_nobody(start, tmp_path):
    """In the folder from the start, and with a reload."""
    gguf_files.make_talker(tmp_path / "alpha.gguf", "alpha")
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.gguf")
    shutil.copy(tmp_path / "alpha.gguf", odd)
    server = start("--models-dir", tmp_path, *NEAR)
    shutil.copy(tmp_path / "alpha.gguf", os.path.join(os.fsencode(tmp_path), b"x\xff.gguf"))
    assert server.get("/v1/models?reload=1").status_code == 200
    assert server.chat("alpha").status_code == 200
    names = [model["id"] for model in server.get("/v1/models").json()["data"]]
    assert "alpha" in names and len(names) == 3
    assert server.get("/admin/v1/models").status_code == 200
    assert server.poll() is None


def test_a_repaired_file_loads(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    good = gguf_files.make_talker(tmp_path / "good.gguf", "alpha")
    gguf_files.make_broken(folder, "truncated", good).rename(folder / "alpha.gguf")
    server = start("--models-dir", folder, *NEAR)
    assert server.chat("alpha").status_code == 422
    good.rename(folder / "alpha.gguf")
    assert server.post("/models/load", {"model": "alpha", "wait": True}).status_code == 200
    assert server.chat("alpha").status_code == 200


def make_config(tmp_path, talkers, args: str):
    file = tmp_path / "c.yaml"
    file.write_text(f"models:\n  - {{id: alpha, file: {talkers / 'alpha.gguf'}, args: {{{args}}}}}\n"
                    f"  - {{id: beta, file: {talkers / 'beta.gguf'}}}\n")
    return file


@pytest.mark.parametrize("args, status, words", [
    ("ctx-size: 1", 400, "ctx-size"),
    ("ctx-size: -5", 400, "ctx-size"),
    ("batch-size: 0", 400, "batch-size"),
    ("ubatch-size: -4", 400, "ubatch-size"),
    ("parallel: 1000", 400, "parallel"),
    ("ctx-size: 2000000000", 507, "needs"),
    ("lora: JUNK", 422, "lora"),
    ("grammar-file: JUNK", 422, "alpha.gguf"),
])
def test_options_that_do_not_suit_the_model(start, talkers, tmp_path, args, status, words):
    junk = tmp_path / "junk.bin"
    junk.write_bytes(b"no adapter and no grammar ::= [" * 9)
    file = make_config(tmp_path, talkers, args.replace("JUNK", str(junk)))
    server = start("--config", file, "--models-max", 1, "--memory-budget", "4GiB", "--threads", 1)
    assert server.chat("beta").status_code == 200
    reply = server.chat("alpha")
    assert reply.status_code == status and words in reply.text, reply.text
    assert admin.state(server, "beta") == "hot"
    assert server.chat("beta").status_code == 200


@pytest.mark.parametrize("fault", ["truncated", "negative-epsilon", "other", "gone"])
def test_a_parked_model_is_what_it_was_whatever_becomes_of_its_file(start, tmp_path, fault):
    """Replaced by renaming, as downloads and package managers do."""
    folder = tmp_path / "models"
    folder.mkdir()
    good = gguf_files.make_talker(folder / "alpha.gguf", "alpha")
    server = start("--models-dir", folder, *NEAR)
    assert server.chat("alpha").status_code == 200
    assert server.post("/admin/v1/models/alpha/park").status_code == 200
    if fault == "gone":
        good.unlink()
    elif fault == "other":
        gguf_files.make_talker(tmp_path / "other.gguf", "gamma").rename(good)
    else:
        gguf_files.make_broken(tmp_path, fault, good).rename(good)
    assert Chat(server.stream_chat("alpha")).assert_whole("alpha").text.split() == ["alpha"] * 8


def test_a_wrong_hash_is_refused(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"models:\n  - {{id: alpha, file: {talkers / 'alpha.gguf'}, sha256: {'0' * 64}}}\n")
    reply = start("--config", file).chat("alpha")
    assert reply.status_code == 422 and "sha256" in reply.text.lower(), reply.text


@pytest.mark.full
def test_memory_over_a_hundred_tries(server):
    faults = [fault for fault in FAULTS if fault != "missing"]
    for fault in faults:
        server.chat(fault)
    before = server.rss()
    for i in range(100):
        assert server.post("/models/load", {"model": faults[i % len(faults)], "wait": True}).status_code >= 400
    assert server.rss() - before < 2 * 1024 * 1024


@pytest.mark.parametrize("name", ["../alpha", "/etc/passwd", "..%2falpha", "alpha\x00", "alpha/../beta", "./alpha",
                                  "a" * 10000, "", "💥", "alpha@9", "@", "alpha@", "*", "\n"])
def test_tricks_in_names(server, name):
    reply = server.post("/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "x"}]})
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]["message"]
    assert "root:" not in reply.text


@pytest.mark.parametrize("path", ["/../etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/%00", "/v1/models/%",
                                  "/admin/v1/models/..%2f..%2fetc%2fpasswd", "/admin/v1/models/%zz"])
def test_tricks_in_paths(server, path):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path)
    reply = connection.getresponse()
    assert 400 <= reply.status < 500
    assert b"root:" not in reply.read()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": 3}', b'{"model": "alpha"', b"\xff\xfe\x00",
                                  b'{"model": "alpha", "messages": [{"role": "user", "content": "\xff"}]}',
                                  b"[" * 100000, b'{"a":' * 100000, b'{"model": {"a": "b"}}', b'"text"'])
def test_bad_bodies(server, body):
    for path in ("/v1/chat/completions", "/models/load", "/tokenize", "/admin/v1/models/alpha/load"):
        reply = server.post(path, body)
        if path.startswith("/admin") and not body:
            continue  # no body means the default
        assert 400 <= reply.status_code < 500, (path, reply.status_code, reply.text)
        assert reply.json()["error"]["message"]
    assert server.chat("alpha").status_code == 200


def nested(levels, opened='{"a":', inside="1", closed="}"):
    return opened * levels + inside + closed * levels


def chat_with(field, value):
    """The text of a chat request with one more field, written out: json.dumps cannot nest that deep."""
    return '{"model": "alpha", "max_tokens": 4, "messages": [{"role": "user", "content": "x"}], "%s": %s}' % (
        field, value)


SCHEMA = '{"type": "json_schema", "json_schema": {"schema": %s}}'
DEEP = {
    "json_schema": chat_with("response_format", SCHEMA % nested(10_000, '{"type": "array", "items": ')),
    "pattern": chat_with("response_format", SCHEMA % ('{"type": "string", "pattern": "^%s$"}' % nested(
        20_000, "(", "a", ")"))),
    "chat_template_kwargs": chat_with("chat_template_kwargs", nested(100_000)),
    "tools": chat_with("tools", nested(100_000, "[", "", "]")),
    "grammar": chat_with("grammar", '"root ::= %s"' % nested(100_000, "(", "[a]", ")")),
    "messages": '{"model": "alpha", "messages": %s}' % nested(100_000, "[", "", "]"),
}


@pytest.mark.parametrize("what", DEEP)
def test_deep_bodies_are_refused(server, what):
    for path in ("/v1/chat/completions", "/completion", "/v1/messages", "/v1/responses"):
        reply = server.post(path, DEEP[what].encode())
        assert reply.status_code == 400, (path, reply.status_code, reply.text[:200])
        assert "levels, which is the limit" in reply.json()["error"]["message"]
    assert server.poll() is None and server.chat("alpha").status_code == 200


@pytest.mark.parametrize("body", [
    chat_with("response_format", SCHEMA % nested(240, '{"type": "array", "items": ', '{"type": "null"}')),
    chat_with("chat_template_kwargs", nested(250)),
    chat_with("grammar", '"root ::= %s"' % nested(1000, "(", "[a]", ")")),
    chat_with("response_format", SCHEMA % ('{"type": "string", "pattern": "^%s$"}' % nested(1000, "(", "a", ")"))),
], ids=["json_schema", "chat_template_kwargs", "grammar", "pattern"])
def test_bodies_as_deep_as_allowed_do_no_harm(server, body):
    server.post("/v1/chat/completions", body.encode())
    assert server.poll() is None and server.chat("alpha").status_code == 200


@pytest.mark.parametrize("path", ["/models", "/models/load", "/models/unload", "/admin/v1/models/alpha/load",
                                  "/admin/v1/config/reload"])
def test_large_control_bodies_are_refused_unread(server, path):
    reply = server.post(path, b'{"model": "alpha", "x": "' + b"y" * (30 << 20) + b'"}')
    assert reply.status_code == 413 and reply.json()["error"]["switchyard_code"] == "too_large"
    assert "64 KiB" in reply.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/models/load", "/models/unload"])
@pytest.mark.parametrize("model", ["3", "true", '["alpha"]', '{"a": 1}'])
def test_a_model_is_a_string(server, path, model):
    reply = server.post(path, b'{"model": %s}' % model.encode())
    assert reply.status_code == 400 and reply.json()["error"]["message"] == "'model' must be a string"


def test_body_over_the_limit(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("server: {max_body: 1MiB}\n")
    server = start("--models-dir", talkers, "--config", file, *NEAR)
    import requests
    try:
        reply = server.post("/v1/chat/completions", b"x" * (2 << 20))
        assert reply.status_code == 413 and reply.json()["error"]["message"]
    except requests.ConnectionError:
        pass  # it may close while we still send
    assert server.chat("alpha").status_code == 200


def test_bad_settings_end_the_start(talkers, tmp_path, require_binary):
    """A wrong flag or file ends `serve` with a sentence, not with a server."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("models:\n  - {id: a, fle: x.gguf}\n")
    for words, expected in ((["--models-dir", str(talkers), "--ctx-sise", "12"], "ctx-size"),
                            (["--models-dir", str(tmp_path / "nowhere")], "nowhere"),
                            (["--config", str(bad)], "bad.yaml:2"),
                            (["--models-dir", str(talkers), "--port", "99999999"], "port"),
                            (["-m", str(tmp_path / "gone.gguf"), "--threads", "many"], "threads"),
                            (["--models-dir", str(talkers), "--memory-budget", "lots"], "memory-budget")):
        done = subprocess.run([paths.SWITCHYARD, "serve", "--port", "0", *words], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode not in (0, -6, -11), (words, done)
        assert expected in done.stderr + done.stdout, (words, done.stderr)
