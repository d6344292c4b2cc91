"""Engines in worker processes: they answer as in the server's own, and each may die alone."""

import contextlib
import os
import resource
import signal
import subprocess
import time

import psutil
import pytest

from support import admin, gguf_files, paths
from support.conversations import Conversation, metric, other
from support.paths import GEMMA, SMOLLM2
from support.process import Background, Chat, wait_until

pytestmark = pytest.mark.own
EXACT = ("--threads", 1, "--ctx-size", 2048)
ISOLATED = ("--isolation", "process", *EXACT)


def worker_of(server, model: str) -> psutil.Process:
    """The process that has the model's file mapped."""
    file = os.path.realpath(admin.version(server, model)["args"]["model"])
    found = [worker for worker in server.workers() if any(region.path == file for region in worker.memory_maps())]
    assert len(found) == 1, found
    return found[0]


def cut(server, model: str, kill) -> Chat:
    """A long stream of `model`, in the middle of which `kill` is called."""
    fired = []

    def on_token():
        if not fired:
            fired.append(kill())

    return Chat(server.stream_chat(model, max_tokens=2000, ignore_eos=True), on_token)


def assert_failed_cleanly(chat: Chat) -> None:
    assert chat.status == 200 and chat.text, "it had begun"
    assert chat.error is not None and not chat.done, "an error frame, and no end mark"
    assert chat.error["code"] == 503 and "worker process" in chat.error["message"], chat.error


def assert_no_gap(times: list[float], begin: float, most: float = 10.0) -> None:
    """The machine may be busy: what is looked for is a stream that stood still for as long as a load takes."""
    gaps = [after - before for before, after in zip(times, times[1:]) if after > begin]
    assert gaps and max(gaps) < most, max(gaps, default=None)


# ---- the same as in the server's process ----------------------------------------------------------------


def test_replies_are_those_of_one_process(start, real_models):
    asked = {"max_tokens": 24, "cache_prompt": False}
    own = start("--models-dir", real_models, *EXACT)
    expected = {model: own.chat(model, "Tell a story.", **asked).json()["choices"] for model in (SMOLLM2, GEMMA)}
    embeddings = own.post("/tokenize", {"model": GEMMA, "content": "Hello world"}).json()
    own.stop()
    server = start("--models-dir", real_models, *ISOLATED)
    for model in (SMOLLM2, GEMMA):
        assert server.chat(model, "Tell a story.", **asked).json()["choices"] == expected[model]
        streamed = Chat(server.stream_chat(model, "Tell a story.", **asked)).assert_whole(model)
        assert streamed.text == expected[model][0]["message"]["content"]
    assert server.post("/tokenize", {"model": GEMMA, "content": "Hello world"}).json() == embeddings
    assert len(server.workers()) == 2
    assert not any(GEMMA in region.path for region in psutil.Process(server.pid).memory_maps())


@pytest.mark.plain("its shadow memory is beyond worker_memory")
def test_one_model_of_several(start, real_models, tmp_path):
    config = tmp_path / "switchyard.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 2048}}}}
models:
  - {{id: own, file: {paths.SMOLLM2_FILE}, isolation: none}}
  - {{id: apart, file: {paths.GEMMA_FILE}, isolation: process, worker_memory: 2GiB, worker_nice: 3, worker_cpus: "0"}}
""")
    server = start("--config", config)
    for model in ("own", "apart"):
        Chat(server.stream_chat(model)).assert_whole(model)
    [worker] = server.workers()
    assert worker.nice() == 3 and worker.cpu_affinity() == [0]
    assert worker.rlimit(resource.RLIMIT_DATA) == (2 << 30, 2 << 30)
    assert not [c for c in worker.net_connections() if c.status == psutil.CONN_LISTEN], "no listening port"
    assert os.getpgid(worker.pid) != os.getpgid(server.pid)


def test_residency_progress_and_figures(start, real_models):
    server = start("--models-dir", real_models, *ISOLATED)
    log = admin.events(server)
    asked = {"max_tokens": 6, "cache_prompt": False}
    before = server.chat(GEMMA, **asked).json()["choices"]
    worker = worker_of(server, GEMMA)
    hot = worker.memory_info().rss
    assert admin.act(server, GEMMA, "park")["state"] == "parked"
    assert worker.memory_info().rss < hot - 100e6, "parked weights should be given back to the page cache"
    assert server.chat(GEMMA, **asked).json()["choices"] == before
    assert worker_of(server, GEMMA).pid == worker.pid, "the weights were there"
    progress = [event for event in log.events if event["type"] == "load_progress" and event["model"] == GEMMA]
    assert {"text_model", "warmup"} <= {event["stage"] for event in progress}
    wait_until(lambda: metric(server, f'llamacpp:tokens_predicted_total{{model="{GEMMA}"}}') >= 12, "its figures")
    assert server.get("/props", params={"model": GEMMA}).json()["total_slots"] >= 1
    assert admin.version(server, GEMMA)["predicted_bytes"][0]["total"] > 8 << 20
    admin.act(server, GEMMA, "unload")
    wait_until(lambda: not server.workers(), "the worker to go with its weights")
    log.close()


def test_a_load_is_cancelled(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_random(folder / "big.gguf", embd=1024, ff=4096, layers=16, heads=16, kv_heads=4)
    server = start("--models-dir", folder, *ISOLATED)
    server.post("/models/load", {"model": "big"})
    admin.wait_state(server, "big", "loading", "warming", "hot")
    admin.act(server, "big", "unload")
    assert admin.state(server, "big") == "cold"
    wait_until(lambda: not server.workers(), "the worker to end")
    assert server.chat("big", max_tokens=1).status_code == 200


@pytest.mark.parametrize("model", [SMOLLM2, GEMMA])
def test_conversations_are_kept(start, real_models, tmp_path, model):
    """Through another model's turn, parking, unloading, a restart, and back into the server's own process."""
    words = ("--models-dir", real_models, "--models-max", 1, "--threads", 1, "--ctx-size", 4096, "--data-dir",
             tmp_path / "kept")
    server = start(*words, "--isolation", "process")
    talk = Conversation(model, sentences=30).say(server)
    assert server.chat(other(model), max_tokens=1).status_code == 200
    talk.continued(server, "Who left the house?")
    admin.act(server, model, "park")
    talk.continued(server, "When was that?")
    admin.act(server, model, "unload")
    talk.continued(server, "And the boats?")
    assert metric(server, 'switchyard_conversations_total{event="restored"}') == 3
    assert server.stop() == 0
    server = start(*words)
    talk.continued(server, "Did it rain?")


def test_a_stream_can_be_resumed(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--isolation", "process", "--threads", 1, "--ctx-size", 4096)
    body = {"model": "alpha", "prompt": "x", "n_predict": 60, "stream": True}
    with server.post("/completion", body, headers={"X-Conversation-Id": "talk"}, stream=True) as first:
        next(first.iter_lines())
    found = server.post("/v1/streams/lookup", {"conversation_ids": ["talk"]}).json()
    assert [stream["conversation_id"] for stream in found] == ["talk"]
    whole = server.get("/v1/stream", params={"conv_id": "talk"})
    assert whole.status_code == 200 and '"stop":true' in whole.text
    assert server.request("DELETE", "/v1/stream", params={"conv_id": "talk"}).status_code == 204
    assert server.get("/v1/stream", params={"conv_id": "talk"}).status_code == 404


def test_other_settings_of_a_file_keep_its_worker(start, slow_talkers, tmp_path):
    config = tmp_path / "switchyard.yaml"

    def write(slots):
        config.write_text(f"""
models:
  - {{id: alpha, file: {slow_talkers / 'alpha.gguf'}, isolation: process, args: {{threads: 1, ctx-size: 4096,
     parallel: {slots}}}}}
""")

    write(1)
    server = start("--config", config)
    stream = server.stream_chat("alpha", max_tokens=400)
    reading = iter(stream)
    next(reading)
    worker = worker_of(server, "alpha")
    write(2)
    assert server.post("/admin/v1/config/reload").status_code == 200
    assert [data for _, data in reading][-1] == "[DONE]"
    wait_until(lambda: server.get("/props", params={"model": "alpha"}).json().get("total_slots") == 2, "two slots")
    assert worker_of(server, "alpha").pid == worker.pid


# ---- death ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSEGV, marks=pytest.mark.plain("it takes the signal itself")),
               signal.SIGABRT], ids=lambda n: n.name)
def test_a_worker_dies_alone(start, real_models, number):
    server = start("--models-dir", real_models, *ISOLATED)
    assert server.chat(GEMMA, max_tokens=1).status_code == 200
    asked = {"max_tokens": 400, "ignore_eos": True, "cache_prompt": False}
    undisturbed = Chat(server.stream_chat(SMOLLM2, "Tell a story.", **asked)).assert_whole()
    times = []
    bystander = Background(
        lambda: Chat(server.stream_chat(SMOLLM2, "Tell a story.", **asked), lambda: times.append(time.monotonic())))
    wait_until(lambda: times, "the bystander to stream")
    killed = []

    def kill():
        worker_of(server, GEMMA).send_signal(number)
        killed.append(time.monotonic())

    assert_failed_cleanly(cut(server, GEMMA, kill))
    again = Chat(server.stream_chat(GEMMA, max_tokens=4)).assert_whole(GEMMA)
    assert again.text
    beside = bystander.result().assert_whole(SMOLLM2)
    assert beside.text == undisturbed.text, "whoever else streamed saw nothing"
    assert_no_gap(times, killed[0])
    assert server.get("/health").status_code == 200
    server.wait_for_line(rf"{GEMMA}@1.* was ended by signal {int(number)}")


def test_out_of_memory(start, real_models):
    """The system refuses the worker more memory: what it does then is its own end, and nobody else's."""
    server = start("--models-dir", real_models, *ISOLATED)
    for model in (SMOLLM2, GEMMA):
        assert server.chat(model, max_tokens=1).status_code == 200
    worker = worker_of(server, GEMMA)
    resource.prlimit(worker.pid, resource.RLIMIT_DATA, (1 << 20, 1 << 20))
    crowd = [Background(server.chat, GEMMA, max_tokens=64, ignore_eos=True) for _ in range(24)]  # a thread each
    for reply in [one.result() for one in crowd]:
        assert reply.status_code in (200, 500, 503) and reply.json().keys() & {"choices", "error"}, reply.text
    wait_until(lambda: not worker.is_running(), "the worker that cannot begin another thread to end")
    Chat(server.stream_chat(SMOLLM2)).assert_whole(SMOLLM2)
    wait_until(lambda: server.chat(GEMMA, max_tokens=2).status_code == 200, "another worker")


def test_what_needs_more_than_its_limit_is_refused_with_the_figures(start, real_models, tmp_path):
    config = tmp_path / "switchyard.yaml"
    config.write_text(f"""
models:
  - {{id: gemma, file: {paths.GEMMA_FILE}, isolation: process, worker_memory: 60MiB, args: {{ctx-size: 8192}}}}
""")
    server = start("--config", config)
    refused = server.chat("gemma")
    assert refused.status_code == 400 and "worker_memory" in refused.text, refused.text
    assert not server.workers()


def test_a_load_is_killed_halfway(start, tmp_path, real_models):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / paths.SMOLLM2_FILE.name).symlink_to(paths.SMOLLM2_FILE)
    gguf_files.make_random(folder / "big.gguf", embd=1024, ff=4096, layers=16, heads=16, kv_heads=4)
    server = start("--models-dir", folder, *ISOLATED)
    assert server.chat(SMOLLM2, max_tokens=1).status_code == 200
    before = {worker.pid for worker in server.workers()}
    waiting = Background(server.chat, "big", max_tokens=1)
    new = wait_until(lambda: [w for w in server.workers() if w.pid not in before], "the load's worker", every=0.001)
    new[0].kill()
    failed = waiting.result()
    assert failed.status_code == 503 and "signal 9" in failed.text, failed.text
    assert admin.state(server, "big") == "failed"
    Chat(server.stream_chat(SMOLLM2)).assert_whole(SMOLLM2)
    admin.act(server, "big", "load")
    assert server.chat("big", max_tokens=1).status_code == 200


def test_a_hung_worker_that_is_killed_comes_back(start, real_models):
    server = start("--models-dir", real_models, *ISOLATED)
    chat = Background(cut, server, GEMMA, lambda: worker_of(server, GEMMA).suspend())
    stopped = wait_until(lambda: [w for w in server.workers() if w.status() == psutil.STATUS_STOPPED], "it to hang")
    assert server.get("/metrics").status_code == 200, "figures do not wait for it"
    assert server.chat(SMOLLM2, max_tokens=2).status_code == 200
    stopped[0].kill()
    assert_failed_cleanly(chat.result())
    assert server.chat(GEMMA, max_tokens=2).status_code == 200


def test_a_parked_one_dies(start, real_models):
    server = start("--models-dir", real_models, *ISOLATED)
    assert server.chat(GEMMA, max_tokens=1).status_code == 200
    worker = worker_of(server, GEMMA)
    admin.act(server, GEMMA, "park")
    worker.kill()
    admin.wait_state(server, GEMMA, "failed")
    assert server.chat(GEMMA, max_tokens=1).status_code == 200


# ---- the server's end -----------------------------------------------------------------------------------


def test_no_process_is_left_behind(start, real_models):
    server = start("--models-dir", real_models, *ISOLATED)
    for model in (SMOLLM2, GEMMA):
        assert server.chat(model, max_tokens=1).status_code == 200
    family = server.workers()
    assert len(family) == 2
    assert server.stop() == 0
    assert not [worker for worker in family if worker.is_running()]


def test_none_outlives_a_server_that_was_killed(start, real_models):
    server = start("--models-dir", real_models, *ISOLATED)
    assert server.chat(GEMMA, max_tokens=1).status_code == 200
    [worker] = server.workers()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker to end")


def test_a_signal_for_everybody_waits_for_the_reply(start, slow_talkers):
    """As a terminal and systemd send it: to the server and to its workers."""
    server = start("--models-dir", slow_talkers, "--isolation", "process", "--threads", 1, "--ctx-size", 4096)
    stream = server.stream_chat("alpha", max_tokens=400)
    reading = iter(stream)
    next(reading)
    for process in (psutil.Process(server.pid), *server.workers()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    assert [data for _, data in reading][-1] == "[DONE]"
    assert server.wait() == 0


def test_the_command_is_for_the_server_only(require_binary):
    done = subprocess.run([paths.SWITCHYARD, "worker"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "the server starts it itself" in done.stderr
