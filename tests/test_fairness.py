"""Tenants that share a model's slots, and models that share a place, with the real binary: who is answered when
is counted in replies and tokens, never in seconds."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import requests

from support.process import Background, Server, wait_until

pytestmark = pytest.mark.own
ADMIN = "sk-of-the-server"
FLAGS = ("--threads", 1, "--ctx-size", 8192, "--parallel", 4)


@pytest.fixture
def server(start, slow_talkers):
    server = start("--models-dir", slow_talkers, "--api-key", ADMIN, *FLAGS, key=ADMIN)
    server.chat("alpha", max_tokens=1)
    return server


def key(server: Server, name: str, weight: float = 1) -> str:
    reply = server.post("/admin/v1/keys", {"key_alias": name, "weight": weight})
    assert reply.status_code == 201, reply.text
    return reply.json()["key"]


def complete(server: Server, secret: str, tokens: int, model: str = "alpha", **more) -> int:
    """Asks for a reply of so many tokens, and says how many it took, the prompt's with them."""
    body = {"model": model, "prompt": "Hello", "n_predict": tokens, "ignore_eos": True, "cache_prompt": False, **more}
    reply = requests.post(server.url + "/completion", json=body, headers={"Authorization": f"Bearer {secret}"},
                          timeout=300)
    assert reply.status_code == 200, reply.text
    return reply.json()["tokens_predicted"] + reply.json()["tokens_evaluated"]


class Flood:
    """Clients of one key that ask again as soon as they are answered; counts what they got."""

    def __init__(self, server: Server, secret: str, clients: int, tokens: int, **more):
        self.replies = self.tokens = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._runs = [self._pool.submit(self._run, server, secret, tokens, more) for _ in range(clients)]

    def _run(self, server, secret, tokens, more):
        while not self._stop.is_set():
            got = complete(server, secret, tokens, **more)
            with self._lock:
                self.replies += 1
                self.tokens += got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        for run in self._runs:
            run.result()
        self._pool.shutdown()


def waiting(server: Server) -> int:
    text = server.get("/metrics").text
    return sum(int(float(n)) for n in re.findall(r"^llamacpp:requests_deferred\{[^}]*\} (\S+)$", text, re.MULTILINE))


def test_a_flood_of_one_key_is_not_before_anothers_request(server):
    """64 requests of one key at once: while another's twenty are answered, one after the other, the flood does not
    get more than its slots."""
    flood, other = key(server, "flood"), key(server, "other")
    with Flood(server, flood, 64, 40) as running:
        wait_until(lambda: running.replies >= 4, "the flood")
        for _ in range(20):
            before = running.replies
            complete(server, other, 4)
            # What ran when it came, and what took their slots meanwhile: a queue of 60 would be 15 times that.
            assert running.replies - before <= 8
        ran = running.replies
        wait_until(lambda: running.replies > ran + 4, "the flood to go on")


@pytest.mark.parametrize("heavy", [1, 3])
def test_tokens_follow_the_weights(server, heavy):
    """Both always have more to ask than there are slots, one asks for replies of thrice the length."""
    secrets = key(server, "heavy", heavy), key(server, "light")
    with Flood(server, secrets[0], 8, 10) as a, Flood(server, secrets[1], 8, 30) as b:
        wait_until(lambda: min(a.replies, b.replies) >= 8, "both to be in")
        before = a.tokens, b.tokens
        wait_until(lambda: a.tokens + b.tokens - sum(before) >= 6000, "6000 tokens", deadline=240)
        got = a.tokens - before[0], b.tokens - before[1]
    share = got[0] / sum(got)
    assert share == pytest.approx(heavy / (heavy + 1), rel=0.1)


def test_whoever_waits_for_a_reply_comes_before_batch_work(server):
    secret = key(server, "one")
    with Flood(server, secret, 16, 40, service_tier="flex") as batch:
        wait_until(lambda: batch.replies >= 4 and waiting(server) > 0, "the batch")
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=secret, max_retries=0)
        for _ in range(5):
            before = batch.replies
            reply = client.chat.completions.create(model="alpha", messages=[{"role": "user", "content": "Hello"}],
                                                   max_tokens=4, service_tier="default")
            assert reply.usage.completion_tokens > 0
            assert batch.replies - before <= 8
        ran = batch.replies
        wait_until(lambda: batch.replies > ran, "the batch to go on")


def test_a_client_that_leaves_the_queue_is_forgotten(server):
    secret = key(server, "one")
    with Flood(server, secret, 8, 200):
        wait_until(lambda: waiting(server) >= 4, "a queue")
        before = waiting(server)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(server.url + "/completion", json={"model": "alpha", "prompt": "x", "n_predict": 1000},
                          headers={"Authorization": f"Bearer {secret}"}, timeout=0.3)
        wait_until(lambda: waiting(server) <= before, "it to have left")


@pytest.fixture
def room_for_one(start, slow_talkers, tmp_path):
    config = tmp_path / "switchyard.yaml"
    config.write_text("limits: {max_wait: 300ms}\n")
    return start("--models-dir", slow_talkers, "--api-key", ADMIN, "--models-max", 1, "--config", config, *FLAGS,
                 key=ADMIN)


def test_models_that_are_too_many_take_turns(room_for_one):
    """Two models, room for one, clients of each that never pause: both are answered, whole, and in turns that are
    longer than their loads."""
    server = room_for_one
    secrets = {model: key(server, model) for model in ("alpha", "beta")}
    with Flood(server, secrets["alpha"], 12, 40, model="alpha") as a:
        wait_until(lambda: a.replies >= 4, "alpha")
        with Flood(server, secrets["beta"], 12, 40, model="beta") as b:
            wait_until(lambda: min(a.replies, b.replies) >= 60, "sixty replies of each", deadline=240)
            replies = a.replies + b.replies
            loads = sum(float(n) for n in re.findall(r"^switchyard_load_seconds_count\{[^}]*\} (\S+)$",
                                                     server.get("/metrics").text, re.MULTILINE))
    assert 2 <= loads <= replies / 4, "a turn is worth more than one reply for each slot"


def test_a_queue_does_not_hold_up_the_model_that_is_to_have_its_room(room_for_one):
    server = room_for_one
    secret = key(server, "one")
    server.chat("alpha", max_tokens=1)
    queue = [Background(complete, server, secret, 100) for _ in range(40)]
    wait_until(lambda: waiting(server) >= 30, "a queue")
    complete(server, secret, 2, model="beta")
    assert sum(one.running for one in queue) >= 20, "those that had not begun let it go first"
    assert [one.result(240) > 100 for one in queue] == [True] * 40


def test_a_switch_answers_whoever_waits_for_a_slot_of_the_old_version(server):
    """Their version was decided when they came: it drains until they are answered."""
    secret = key(server, "one")
    assert server.request("PUT", "/admin/v1/aliases/chat", {"to": "alpha"}).status_code == 201
    queue = [Background(complete, server, secret, 60, model="chat") for _ in range(12)]
    wait_until(lambda: waiting(server) >= 8, "a queue")
    switched = server.post("/admin/v1/aliases/chat/switch", {"to": "beta", "drain_timeout": "60s"})
    assert switched.status_code == 200, switched.text
    assert [one.result() > 60 for one in queue] == [True] * 12
